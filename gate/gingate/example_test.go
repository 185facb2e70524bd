package gingate_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/gin-gonic/gin"

	"paywall/gate"
	"paywall/gate/gingate"
	"paywall/methods/stripe"
	"paywall/mpp"
	"paywall/payment"
	"paywall/pricing/flat"
	sandbox "paywall/sandbox/stripe"
	"paywall/sqlstore"
)

// A gin route with a price. The processor is the sandbox, which takes the
// place of the real one with another BaseURL and key.
func Example() {
	gin.SetMode(gin.ReleaseMode)
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "paywall")
	check(err)
	defer os.RemoveAll(dir)
	bank := sandbox.New(sandbox.Config{})
	defer bank.Close()
	api := httptest.NewServer(bank)
	defer api.Close()

	store, err := sqlstore.Open(ctx, sqlstore.Config{DSN: "sqlite:" + filepath.Join(dir, "paywall.db")})
	check(err)
	defer store.Close()
	rail, err := stripe.New(stripe.Config{Key: "sk_test_example", Profile: "internal", BaseURL: api.URL})
	check(err)
	processor, err := payment.New(ctx, payment.Config{Store: store, Methods: []payment.Method{rail}, Key: bytes.Repeat([]byte{1}, 32), Sole: true})
	check(err)
	keys, err := mpp.NewKeyRing(mpp.Key{ID: "k1", Secret: bytes.Repeat([]byte{2}, 32)})
	check(err)
	scheme, err := mpp.New(mpp.Config{Keys: keys})
	check(err)
	g, err := gate.New(gate.Config{Realm: "api.example.com", Processor: processor, Methods: []payment.Method{rail}, Protocols: []payment.Protocol{scheme}})
	check(err)
	defer g.Close()

	price, err := flat.Parse("1.00 USD")
	check(err)
	paid, err := gingate.New(g, gate.Route{ID: "report", Pricer: price})
	check(err)
	engine := gin.New()
	engine.GET("/report/:id", paid, func(c *gin.Context) { c.JSON(200, gin.H{"report": c.Param("id")}) })

	// An agent asks, has a token made for the price, and pays.
	ask := httptest.NewRequestWithContext(ctx, "GET", "http://api.example.com/report/7", nil)
	w := httptest.NewRecorder()
	engine.ServeHTTP(w, ask)
	fmt.Println(w.Code)
	challenges, err := mpp.ParseChallenges(w.Result().Header)
	check(err)
	token, err := bank.Grant("pm_card_visa", "usd", 100, time.Now().Add(time.Hour), "internal")
	check(err)
	credential, err := mpp.NewCredential(challenges[0], fmt.Appendf(nil, `{"spt":%q}`, token))
	check(err)
	check(credential.Set(ask.Header))
	w = httptest.NewRecorder()
	engine.ServeHTTP(w, ask)
	fmt.Println(w.Code, w.Body)
	// Output:
	// 402
	// 200 {"report":"7"}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
