package gate_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"

	"paywall/gate"
	"paywall/methods/stripe"
	"paywall/money"
	"paywall/mpp"
	"paywall/payment"
	"paywall/pricing/flat"
	"paywall/sandbox"
	"paywall/sqlstore"
	"paywall/wallet"
)

// shop is what a seller brings along: who takes the money, where it is written
// down, what speaks to payers, and a price.
type shop struct {
	realm      string
	rail       *stripe.Method
	store      *sqlstore.Store
	scheme     *mpp.Protocol
	price      flat.Pricer
	seal       []byte // 32 random bytes, kept
	background sync.WaitGroup
}

// priced puts a price on one handler. README.md shows these lines.
func (s *shop) priced(ctx context.Context, report http.Handler) (http.Handler, error) {
	rails := []payment.Method{s.rail}
	processor, err := payment.New(ctx, payment.Config{Store: s.store, Methods: rails, Key: s.seal, Sole: true})
	if err != nil {
		return nil, err
	}
	s.background.Go(func() { processor.Run(ctx, 0) }) // finishes what a crash or a lost answer left open
	g, err := gate.New(gate.Config{Realm: s.realm, Processor: processor, Methods: rails, Protocols: []payment.Protocol{s.scheme}})
	if err != nil {
		return nil, err
	}
	return g.Handle(gate.Route{ID: "report", Pricer: s.price, Description: "One market report"}, report)
}

func Example() {
	dir, err := os.MkdirTemp("", "paywall-example-")
	check(err)
	defer os.RemoveAll(dir)
	ctx, stop := context.WithCancel(context.Background())
	play := httptest.NewUnstartedServer(nil) // the processor; no money moves
	stand, err := sandbox.New(sandbox.Config{BaseURL: "http://" + play.Listener.Addr().String()})
	check(err)
	defer stand.Close()
	play.Config.Handler = stand.Handler()
	play.Start()
	defer play.Close()

	s := &shop{realm: "127.0.0.1", seal: bytes.Repeat([]byte{1}, 32)}
	s.rail, err = stripe.New(stripe.Config{Key: "sk_test_example", Profile: "profile_test_example", BaseURL: play.URL})
	check(err)
	s.store, err = sqlstore.Open(ctx, sqlstore.Config{DSN: "sqlite:" + filepath.Join(dir, "paywall.db")})
	check(err)
	keys, err := mpp.NewKeyRing(mpp.Key{ID: "k1", Secret: bytes.Repeat([]byte{2}, 32)})
	check(err)
	s.scheme, err = mpp.New(mpp.Config{Keys: keys})
	check(err)
	s.price, err = flat.Parse("1.00 USD")
	check(err)
	h, err := s.priced(ctx, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "copper is up") }))
	check(err)
	api := httptest.NewServer(h)

	show(http.Get(api.URL + "/v1/reports/7"))
	show(agent(play.URL).Get(api.URL + "/v1/reports/7"))

	api.Close()
	stop()
	s.background.Wait()
	check(s.store.Close())
	// Output:
	// 402 Payment Required
	// 200 OK: copper is up
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
