// Package ucptest holds answers against the protocol's own schemas, and against what
// schemas cannot say.
package ucptest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"paywall/ucp/protocol"
)

// root is the folder of schemas beside the project, from a package's folder, or empty.
func root(t testing.TB, v protocol.Version) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = parent
	}
	where := filepath.Join(dir, "..", "shared", "data", "ucp", string(v), "source")
	if _, err := os.Stat(where); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return where
}

const host = "https://ucp.dev/"

// loader reads schemas by their URL.
type loader struct{ dir string }

// Load implements [jsonschema.URLLoader].
func (l loader) Load(url string) (any, error) {
	path, ok := strings.CutPrefix(url, host)
	if !ok {
		return nil, fmt.Errorf("%s is not a schema of the protocol", url)
	}
	for _, v := range protocol.Versions() {
		path = strings.TrimPrefix(path, string(v)+"/")
	}
	if path == "schemas/discovery/profile.json" { // it lies elsewhere in the older release
		path = "discovery/profile_schema.json"
	}
	if inner, ok := strings.CutPrefix(path, "schemas/schemas/"); ok { // and what it refers to is named from there
		path = "schemas/" + inner
	}
	data, err := os.ReadFile(filepath.Join(l.dir, filepath.FromSlash(path)))
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the file
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return nil, err //nolint:wrapcheck // it says where
	}
	return omitted(doc), nil
}

// omitted takes out what never stands in an answer, by the protocol's own annotation.
func omitted(v any) any {
	switch v := v.(type) {
	case map[string]any:
		props, _ := v["properties"].(map[string]any)
		for name, p := range props {
			if o, ok := p.(map[string]any); ok && o["ucp_response"] == "omit" {
				props[name] = false
			}
		}
		for k, child := range v {
			v[k] = omitted(child)
		}
	case []any:
		for i, child := range v {
			v[i] = omitted(child)
		}
	}
	return v
}

// Schemas validates documents of one version.
type Schemas struct {
	v  protocol.Version
	mu sync.Mutex
	c  *jsonschema.Compiler
}

// Open finds the schemas of a version, or skips the test with a notice.
func Open(t testing.TB, v protocol.Version) *Schemas {
	t.Helper()
	s, ok := Find(t, v)
	if !ok {
		t.Skipf("the schemas of %s are not at ../shared/data/ucp: nothing is validated", v)
	}
	return s
}

// Find finds the schemas of a version; false, with a notice, where they are not.
func Find(t testing.TB, v protocol.Version) (*Schemas, bool) {
	t.Helper()
	where := root(t, v)
	if where == "" {
		t.Logf("notice: the schemas of %s are not at ../shared/data/ucp, so that nothing is held against them", v)
		return nil, false
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(loader{where})
	return &Schemas{v: v, c: c}, true
}

// files of the answers' schemas. More than one is of extensions, which say more.
var files = map[string][]string{
	"checkout": {
		"shopping/checkout.json", "shopping/discount.json#/$defs/dev.ucp.shopping.checkout", "shopping/fulfillment.json#/$defs/dev.ucp.shopping.checkout",
		"shopping/buyer_consent.json#/$defs/dev.ucp.shopping.checkout",
	},
	"cart":    {"shopping/cart.json", "shopping/discount.json#/$defs/dev.ucp.shopping.cart"},
	"order":   {"shopping/order.json"},
	"search":  {"shopping/catalog_search.json#/$defs/search_response"},
	"lookup":  {"shopping/catalog_lookup.json#/$defs/lookup_response"},
	"product": {"shopping/catalog_lookup.json#/$defs/get_product_response"},
	"error":   {"common/types/error_response.json"},
	"profile": {"profile.json#/$defs/business_schema"},
	// what an agent says of itself
	"platform": {"profile.json#/$defs/platform_schema"},
}

// Valid holds a document of a kind against its schemas.
func (s *Schemas) Valid(t testing.TB, kind string, data []byte) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Errorf("%s: %v in %s", kind, err, data)
		return
	}
	list, ok := files[kind]
	if !ok {
		t.Fatalf("no kind %q", kind)
	}
	for _, file := range list {
		if s.v == protocol.April2026 {
			file = strings.Replace(file, "common/types/error_response.json", "shopping/types/error_response.json", 1)
			if strings.HasPrefix(file, "profile.json") {
				file = "discovery/" + strings.Replace(file, "_schema", "_profile", 1)
			}
		}
		if err := s.validate(file, doc); err != nil {
			t.Errorf("%s of %s does not hold against %s: %v\n%s", kind, s.v, file, err, data)
		}
	}
}

func (s *Schemas) validate(file string, doc any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	schema, err := s.c.Compile(host + "schemas/" + file)
	if err != nil {
		return err //nolint:wrapcheck // it names the schema
	}
	return schema.Validate(doc) //nolint:wrapcheck // it says where
}

// Consistent holds an answer against what schemas cannot say: sums, references, what
// goes with which status, and that no credential is repeated.
func Consistent(t testing.TB, data []byte) {
	t.Helper()
	var doc struct {
		UCP struct {
			Status   string                     `json:"status"`
			Handlers map[string]json.RawMessage `json:"payment_handlers"`
		} `json:"ucp"`
		ID     string `json:"id"`
		Status string `json:"status"`
		Lines  []struct {
			ID    string `json:"id"`
			Item  struct{ Price int64 }
			Count json.RawMessage `json:"quantity"`
			Total []total         `json:"totals"`
		} `json:"line_items"`
		Totals    []total `json:"totals"`
		Discounts *struct {
			Applied []struct {
				Amount      int64 `json:"amount"`
				Allocations []struct {
					Path   string `json:"path"`
					Amount int64  `json:"amount"`
				} `json:"allocations"`
			} `json:"applied"`
		} `json:"discounts"`
		Fulfillment struct {
			Methods []struct {
				Lines    []string `json:"line_item_ids"`
				Selected string   `json:"selected_destination_id"`
				To       []struct {
					ID string `json:"id"`
				} `json:"destinations"`
				Groups []struct {
					Selected string `json:"selected_option_id"`
					Options  []struct {
						ID string `json:"id"`
					} `json:"options"`
				} `json:"groups"`
			} `json:"methods"`
		} `json:"fulfillment"`
		Messages []struct {
			Type, Severity string
		} `json:"messages"`
		Order    *struct{ ID string } `json:"order"`
		Continue string               `json:"continue_url"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Errorf("%v in %s", err, data)
		return
	}
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf(format+"\n%s", append(args, data)...)
	}
	for _, secret := range []string{`"credential"`, "spt_", "tok_", `"instruments"`} {
		if bytes.Contains(data, []byte(secret)) {
			fail("the answer repeats %s", secret)
		}
	}
	if doc.UCP.Status == "error" || len(doc.Totals) == 0 {
		return
	}
	sums(fail, "the totals", doc.Totals)
	ids := map[string]bool{}
	subtotal := int64(0)
	for _, l := range doc.Lines {
		if l.ID == "" || ids[l.ID] {
			fail("line %q is there twice", l.ID)
		}
		ids[l.ID] = true
		sums(fail, "line "+l.ID, l.Total)
		for _, one := range l.Total {
			if one.Type == "subtotal" {
				subtotal += one.Amount
			}
		}
		var n int64
		if json.Unmarshal(l.Count, &n) == nil && n*l.Item.Price != first(l.Total, "subtotal") {
			fail("line %s costs %d times %d", l.ID, n, l.Item.Price)
		}
	}
	if got := first(doc.Totals, "subtotal"); got != subtotal {
		fail("the subtotal is %d, of the lines %d", got, subtotal)
	}
	if doc.Discounts != nil {
		all := int64(0)
		for _, a := range doc.Discounts.Applied {
			shares := int64(0)
			for _, share := range a.Allocations {
				shares += share.Amount
				var n int
				if _, err := fmt.Sscanf(share.Path, "$.line_items[%d]", &n); err != nil || n >= len(doc.Lines) {
					fail("an allocation is for %s", share.Path)
				}
			}
			if shares != a.Amount {
				fail("a discount of %d is allocated as %d", a.Amount, shares)
			}
			all += a.Amount
		}
		if all != -first(doc.Totals, "items_discount")-first(doc.Totals, "discount") {
			fail("discounts of %d are not those of the totals", all)
		}
	}
	for _, m := range doc.Fulfillment.Methods {
		for _, id := range m.Lines {
			if !ids[id] {
				fail("a method is for line %s", id)
			}
		}
		found := m.Selected == ""
		for _, d := range m.To {
			found = found || d.ID == m.Selected
		}
		for _, g := range m.Groups {
			chosen := g.Selected == ""
			for _, o := range g.Options {
				chosen = chosen || o.ID == g.Selected
			}
			found = found && chosen
		}
		if !found {
			fail("what is selected is not there")
		}
	}
	final := doc.Status == "completed" || doc.Status == "canceled"
	escalated := false
	for _, m := range doc.Messages {
		escalated = escalated || m.Type == "error" && (m.Severity == "requires_buyer_input" || m.Severity == "requires_buyer_review")
	}
	switch {
	case doc.Status == "":
	case (doc.Status == "completed") != (doc.Order != nil):
		fail("status %s, order %v", doc.Status, doc.Order)
	case final == (doc.Continue != ""):
		fail("status %s, continue_url %q", doc.Status, doc.Continue)
	case doc.Status == "requires_escalation" && !escalated:
		fail("it requires a person without saying why")
	}
}

type total struct {
	Type   string `json:"type"`
	Amount int64  `json:"amount"`
}

func first(list []total, kind string) int64 {
	for _, t := range list {
		if t.Type == kind {
			return t.Amount
		}
	}
	return 0
}

func sums(fail func(string, ...any), what string, list []total) {
	all := int64(0)
	for _, t := range list {
		if t.Type != "total" {
			all += t.Amount
		}
	}
	if all != first(list, "total") {
		fail("%s: the sum is %d, the total %d", what, all, first(list, "total"))
	}
}
