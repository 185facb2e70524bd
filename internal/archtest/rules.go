package archtest

// module is the path that our own imports begin with.
const module = "paywall"

// shared packages may be imported from everywhere outside the core: they decide
// nothing about payments and import only the standard library and each other.
// Patterns are among them because the gate routes by them, the configuration
// orders them and the description lists them, and all three must agree.
var shared = []string{"internal/problem", "internal/strictjson", "internal/canonical", "internal/pattern"}

// anything marks a folder that may import everything of ours.
const anything = "*"

// core marks a folder that may not even import the shared packages.
const core = "core"

// A houseRule says what the packages of one folder may import of ours besides
// themselves and [shared].
type houseRule struct {
	folder string   // path from the root; a last element "..." also covers folders below
	may    []string // folders, of the same form; [anything] and [core] are special
}

// house is the import table. The first rule that covers a folder applies, and a
// folder without a rule is a finding: a new package says here where it belongs.
// The suites of a contract lie in a folder below it, named for it with "test"
// behind; they may import the contract and what it may import itself, and tests
// anywhere may import them.
var house = []houseRule{
	{"money", []string{core}},
	{"payment", []string{core, "money"}},

	// Rails, prices and stores stand on the core and do not know the wire.
	// This rail speaks x402 to its facilitators.
	{"methods/facilitator", []string{"x402/...", "payment", "money"}},
	{"methods/...", []string{"payment", "money"}},
	{"pricing/...", []string{"payment", "money"}},
	{"sqlstore/...", []string{"payment", "checkout", "methods/credit", "money"}},
	{"checkout/...", []string{"checkout", "payment", "money"}},

	// Wire packages never import each other; a name followed by its own name is
	// a folder below it that speaks for it.
	{"gate/gingate", []string{"gate", "payment", "money"}},
	{"gate/...", []string{"payment", "money"}},
	{"mpp/...", []string{"payment", "money"}},
	{"x402/...", []string{"x402/...", "payment", "money"}},
	{"openapi/...", []string{"payment", "money"}},
	{"receipts/...", []string{"payment", "money"}},
	// The paying side stands above the codecs, as the command does for the selling side.
	{"wallet/...", []string{"mpp", "x402/...", "payment", "money"}},
	// Agents name the URLs of their profiles and sign what they send.
	{"ucp/...", []string{"ucp/...", "checkout", "internal/fetch", "internal/httpsig", "payment", "money"}},

	// The stand-ins are other people's servers: they share no product code, or
	// they would agree with its mistakes.
	{"sandbox/...", []string{"sandbox/..."}},

	{"internal/app/...", []string{anything}},
	{"internal/builtin/...", []string{anything}},
	{"internal/catalog", []string{"checkout", "methods/stripe", "internal/config", "payment", "money"}},
	{"internal/config/...", []string{"payment", "money"}},
	{"internal/proxy/...", []string{"payment", "money"}},
	{"internal/telemetry/...", []string{"payment", "money"}},
	{"internal/problem", nil},
	{"internal/strictjson", nil},
	{"internal/canonical", nil},
	{"internal/pattern", nil},
	{"internal/fetch", nil},
	{"internal/httpsig", nil},
	{"internal/idempotency", nil},
	{"internal/archtest", nil},
	// The buying side stands beside the wallet, as the shop does beside the gate.
	{"internal/shopping", []string{"wallet/...", "internal/httpsig", "payment", "money"}},
	{"internal/testhook", nil},

	{"cmd/...", []string{anything}},
	{"docs/...", []string{anything}},
	{"examples/...", []string{anything}},
	{"test/...", []string{anything}},
}

// A libraryRule keeps a library that would spread, or that drags much behind
// it, in the folders named.
type libraryRule struct {
	prefix string   // import path, and everything below it
	may    []string // folders, of the form of [houseRule.folder]
	tests  bool     // whether test files and suites anywhere may use it too
	why    string
}

var libraries = []libraryRule{
	{
		"github.com/gin-gonic/gin",
		[]string{"gate/gingate", "internal/app/...", "test/..."},
		false,
		"it brings thirty modules into every importer of a library package",
	},
	{
		"github.com/stripe/stripe-go",
		[]string{"methods/stripe", "test/..."},
		false,
		"the processor's types stay behind payment.Method",
	},
	{
		"github.com/decred/dcrd/dcrec/secp256k1",
		[]string{"x402/evm", "sandbox/facilitator", "test/..."},
		true,
		"one place knows curves; the stand-in checks by itself",
	},
	{"modernc.org/sqlite", []string{"sqlstore/...", "test/..."}, false, "drivers stay behind payment.Store"},
	{"github.com/jackc/pgx", []string{"sqlstore/...", "test/..."}, false, "drivers stay behind payment.Store"},
	{"github.com/pressly/goose", []string{"sqlstore/...", "test/..."}, false, "migrations belong to the store"},
	{"github.com/golang-jwt/jwt", []string{"receipts/...", "test/..."}, true, "one place decides which tokens are good"},
	// Each of these calls methods by name, for which the linker keeps every method
	// of every type: seven megabytes of the binary.
	{"text/template", []string{"test/..."}, true, "it keeps every method linked; write the few pages there are by hand"},
	{"html/template", []string{"test/..."}, true, "it keeps every method linked; write the few pages there are by hand"},
	{"github.com/alecthomas/kong", nil, true, "it keeps every method linked; internal/app/cmdline reads the command line"},
	{
		"go.yaml.in/yaml",
		[]string{"internal/config/...", "internal/app/...", "cmd/...", "test/..."},
		true,
		"one strict decoder reads configuration",
	},
	{"go.opentelemetry.io", []string{"internal/telemetry/...", "internal/app/...", "test/..."}, true, "core and wire know no telemetry"},
	{"github.com/prometheus", []string{"internal/telemetry/...", "internal/app/...", "test/..."}, true, "core and wire know no telemetry"},
	{"github.com/getkin/kin-openapi", []string{"test/..."}, true, "it checks our handlers, it does not serve"},
	{"github.com/santhosh-tekuri/jsonschema", []string{"ucp/ucptest", "test/..."}, true, "it is for tests"},
	{"github.com/google/go-cmp", []string{"test/..."}, true, "it may panic and is for tests"},
	{"github.com/rogpeppe/go-internal", []string{"test/..."}, true, "it is for tests"},
	{"pgregory.net/rapid", []string{"test/..."}, true, "it is for tests"},
	{"database/sql", []string{"sqlstore/...", "test/..."}, false, "statements stay behind payment.Store"},
}

// moneyFolders carry amounts: no floating point in what they ship.
var moneyFolders = []string{
	"money", "payment/...", "methods/...", "pricing/...", "checkout/...", "ucp/...", "x402/...", "mpp/...",
	"gate/...", "receipts/...", "sqlstore/...", "openapi/...", "wallet/...",
}
