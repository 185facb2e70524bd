package openapi_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"paywall/openapi"
	"paywall/payment"
)

// TestOwnIsValid: the description is OpenAPI 3.1, every reference in it leads
// somewhere, and it holds the endpoints that are ours and no others.
func TestOwnIsValid(t *testing.T) {
	doc := parse(t, openapi.Own())
	got := map[string][]string{}
	for path, item := range doc.Paths.Map() {
		got[path] = slices.Sorted(maps.Keys(item.Operations()))
		for method, op := range item.Operations() {
			if op.OperationID == "" || op.Summary == "" || len(op.Tags) != 1 {
				t.Errorf("%s %s: want an operationId, a summary and one tag", method, path)
			}
			if admin := op.Tags[0] == "admin"; admin != (len(item.Servers) > 0) {
				t.Errorf("%s %s: tag %s, servers %v: the admin listener is another server", method, path, op.Tags[0], item.Servers)
			}
		}
	}
	want := map[string][]string{
		"/openapi.json": {"GET"}, "/llms.txt": {"GET"}, "/.well-known/jwks.json": {"GET"}, "/.well-known/did.json": {"GET"},
		"/x402/supported": {"GET"}, "/x402/verify": {"POST"}, "/x402/settle": {"POST"}, "/discovery/resources": {"GET"},
		"/payments/{id}": {"GET"}, "/webhooks/{method}": {"POST"}, "/healthz": {"GET"}, "/readyz": {"GET"},
		"/admin/payments": {"GET"}, "/admin/payments/{id}": {"GET"}, "/admin/payments/{id}/refund": {"POST"}, "/admin/payments/{id}/decide": {"POST"},
		"/admin/transfers": {"GET"}, "/admin/transfers/{id}/{act}": {"POST"},
		"/.well-known/ucp": {"GET"}, "/.well-known/ucp/{version}": {"GET"}, "/ucp/handlers/{name}": {"GET"}, "/ucp/receipt.json": {"GET"}, "/ucp/receipt.md": {"GET"},
		"/ucp/{release}/checkout-sessions": {"POST"}, "/ucp/{release}/checkout-sessions/{id}": {"GET", "PUT"}, "/ucp/{release}/checkout-sessions/{id}/complete": {"POST"},
		"/ucp/{release}/checkout-sessions/{id}/cancel": {"POST"}, "/ucp/{release}/carts": {"POST"}, "/ucp/{release}/carts/{id}": {"GET", "PUT"}, "/ucp/{release}/carts/{id}/cancel": {"POST"},
		"/ucp/{release}/catalog/search": {"POST"}, "/ucp/{release}/catalog/lookup": {"POST"}, "/ucp/{release}/catalog/product": {"POST"}, "/ucp/{release}/orders/{id}": {"GET"}, "/ucp/{release}/mcp": {"POST"},
		"/shop/checkout/{id}": {"GET"}, "/shop/checkout/{id}/pay": {"POST"}, "/shop/orders/{id}": {"GET"}, "/shop/buy/{items}": {"GET"},
		"/payments/credit": {"GET"}, "/admin/credit": {"GET"}, "/admin/credit/{id}": {"GET"}, "/admin/credit/{id}/freeze": {"POST"},
		"/admin/orders": {"GET"}, "/admin/orders/{id}": {"GET"}, "/admin/orders/{id}/{act}": {"POST"}, "/admin/deliveries": {"GET"}, "/admin/deliveries/{id}/resend": {"POST"},
		"/admin/ledger/verify": {"GET"}, "/admin/settlement/pause": {"POST"}, "/admin/settlement/resume": {"POST"},
		"/admin/reload": {"POST"}, "/admin/reconcile": {"POST"}, "/metrics": {"GET"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOwnIsACopy(t *testing.T) {
	a := openapi.Own()
	a[0] = 'x'
	if openapi.Own()[0] != '{' {
		t.Error("a caller has changed the description of others")
	}
}

// TestProblems: every kind of refusal has its row, with the status that the
// scheme recommends, and asks for payment unless the outcome of one is open.
func TestProblems(t *testing.T) {
	want := map[payment.Kind]int{
		payment.KindInternal: http.StatusInternalServerError, payment.KindPaymentRequired: http.StatusPaymentRequired,
		payment.KindMalformedCredential: http.StatusPaymentRequired, payment.KindBadRequest: http.StatusBadRequest,
		payment.KindInvalidChallenge: http.StatusPaymentRequired, payment.KindPaymentExpired: http.StatusPaymentRequired,
		payment.KindInvalidPayload: http.StatusPaymentRequired, payment.KindMethodUnsupported: http.StatusBadRequest,
		payment.KindVerificationFailed: http.StatusPaymentRequired, payment.KindPaymentInsufficient: http.StatusPaymentRequired,
		payment.KindActionRequired: http.StatusPaymentRequired, payment.KindInProgress: http.StatusConflict,
		payment.KindPending: http.StatusServiceUnavailable, payment.KindPaused: http.StatusServiceUnavailable,
		payment.KindBusy: http.StatusServiceUnavailable,
	}
	var doc struct {
		Problems map[string]struct {
			Status     int
			Challenges bool
			Meaning    string
		} `json:"x-problems"`
	}
	if err := json.Unmarshal(openapi.Own(), &doc); err != nil {
		t.Fatal(err)
	}
	for _, k := range payment.Kinds() {
		row, ok := doc.Problems[k.String()]
		if !ok {
			t.Errorf("no row for %s", k)
			continue
		}
		if row.Status != want[k] || row.Challenges == k.Unsettled() || row.Meaning == "" {
			t.Errorf("%s: %+v, want status %d and challenges %t", k, row, want[k], !k.Unsettled())
		}
		delete(doc.Problems, k.String())
	}
	if len(doc.Problems) > 0 {
		t.Errorf("rows of no kind: %v", slices.Sorted(maps.Keys(doc.Problems)))
	}
}

// TestStates: the schemas of states list what the core knows.
func TestStates(t *testing.T) {
	doc := parse(t, openapi.Own())
	for name, want := range map[string][]any{
		"State": {
			string(payment.StatePending), string(payment.StateAuthorized), string(payment.StateSettled), string(payment.StateFailed),
			string(payment.StateVoided), string(payment.StateReview), string(payment.StateRefunding), string(payment.StateRefunded), string(payment.StateCredited),
		},
		"Delivery": {string(payment.DeliveryNone), string(payment.DeliveryOpen), string(payment.DeliveryDispatched), string(payment.DeliveryDelivered)},
	} {
		if diff := cmp.Diff(want, doc.Components.Schemas[name].Value.Enum); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// parse reads a document and holds it to its version of the specification.
func parse(t testing.TB, data []byte) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(data)
	if err != nil {
		t.Fatalf("load: %v\n%s", err, data)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatalf("not valid: %v\n%s", err, data)
	}
	return doc
}
