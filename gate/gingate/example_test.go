package gingate_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/gin-gonic/gin"

	"paywall/gate"
	"paywall/gate/gingate"
	"paywall/methods/stripe"
	"paywall/money"
	"paywall/mpp"
	"paywall/payment"
	"paywall/pricing/flat"
	"paywall/sandbox"
	"paywall/sqlstore"
	"paywall/wallet"
)

// prices mounts a priced and a free route. README.md shows these lines.
func prices(router *gin.Engine, g *gate.Gate, price gate.Pricer, report gin.HandlerFunc) error {
	paid, err := gingate.New(g, gate.Route{ID: "report", Pricer: price, Description: "One market report"})
	if err != nil {
		return err
	}
	router.GET("/v1/reports/:id", paid, report)
	router.GET("/health", func(c *gin.Context) { c.String(http.StatusOK, "well") })
	return nil
}

func Example() {
	dir, err := os.MkdirTemp("", "paywall-example-")
	check(err)
	defer os.RemoveAll(dir)
	ctx := context.Background()
	play := httptest.NewUnstartedServer(nil) // the processor; no money moves
	stand, err := sandbox.New(sandbox.Config{BaseURL: "http://" + play.Listener.Addr().String()})
	check(err)
	defer stand.Close()
	play.Config.Handler = stand.Handler()
	play.Start()
	defer play.Close()

	rail, err := stripe.New(stripe.Config{Key: "sk_test_example", Profile: "profile_test_example", BaseURL: play.URL})
	check(err)
	store, err := sqlstore.Open(ctx, sqlstore.Config{DSN: "sqlite:" + filepath.Join(dir, "paywall.db")})
	check(err)
	defer store.Close()
	keys, err := mpp.NewKeyRing(mpp.Key{ID: "k1", Secret: bytes.Repeat([]byte{2}, 32)})
	check(err)
	scheme, err := mpp.New(mpp.Config{Keys: keys})
	check(err)
	rails := []payment.Method{rail}
	processor, err := payment.New(ctx, payment.Config{Store: store, Methods: rails, Key: bytes.Repeat([]byte{1}, 32), Sole: true})
	check(err)
	g, err := gate.New(gate.Config{Realm: "127.0.0.1", Processor: processor, Methods: rails, Protocols: []payment.Protocol{scheme}})
	check(err)
	price, err := flat.Parse("1.00 USD")
	check(err)

	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	report := func(c *gin.Context) { c.String(http.StatusOK, "report %s: copper is up", c.Param("id")) }
	check(prices(router, g, price, report))
	api := httptest.NewServer(router)
	defer api.Close()

	show(http.Get(api.URL + "/health"))
	show(http.Get(api.URL + "/v1/reports/7"))
	show(agent(play.URL).Get(api.URL + "/v1/reports/7"))
	// Output:
	// 200 OK: well
	// 402 Payment Required
	// 200 OK: report 7: copper is up
}

// agent is a client that pays up to 5.00 USD, with a test card.
func agent(processor string) *http.Client {
	minter, err := wallet.NewProcessorMinter(wallet.MinterConfig{Key: "sk_test_example", BaseURL: processor})
	check(err)
	limit, err := money.ParsePrice("5.00 USD")
	check(err)
	t, err := wallet.NewTransport(wallet.Config{
		Wallet: minter, Policy: wallet.Policy{PerPayment: wallet.Limits{limit}, AskAbove: wallet.Limits{limit}},
	})
	check(err)
	return &http.Client{Transport: t}
}

func show(resp *http.Response, err error) {
	check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	check(err)
	if resp.StatusCode == http.StatusOK {
		fmt.Printf("%s: %s\n", resp.Status, body)
		return
	}
	fmt.Println(resp.Status)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
