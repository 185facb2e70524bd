package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"paywall/sqlstore"
)

// What a shop under measurement sells, and who buys.
const (
	shopCatalog = `currency: USD
products:
  - {id: report, title: Market report, price: 5.00, digital: true}
  - {id: week, title: A week of reports, price: 20.00, digital: true, opens: {route: get-v1-both-id, for: 168h}}
discounts: [{code: WELCOME, title: Ten percent off, percent: 10}]
taxes: [{country: US, percent: 7.25}]
`
	shopAgent  = "https://agent.example/profile.json"
	shopKey    = "k8Zq3vNw6Rt1Xy5Bc9Lm2Pd7Fh4Js0Ga"
	shopConfig = `shop:
  catalog: catalog.yaml
  platforms: {pinned: {"` + shopAgent + `": agent.json}}
  clients: [{name: bench, key: ` + shopKey + `, profiles: ["` + shopAgent + `"]}]
`
	agentProfile = `{"ucp":{"version":"2026-08-25","services":{},"payment_handlers":{},"capabilities":{"dev.ucp.shopping.checkout":[{"version":"2026-08-25"}],` +
		`"dev.ucp.shopping.discount":[{"version":"2026-08-25"}],"dev.ucp.shopping.order":[{"version":"2026-08-25"}]}}}`
	wanted = `{"line_items":[{"item":{"id":"report"},"quantity":2},{"item":{"id":"week"},"quantity":1}],"context":{"address_country":"US"},"discounts":{"codes":["WELCOME"]}}`
)

// shop measures what agents ask of one: its profile, and checkouts from their making to
// their order.
func (b *bench) shop(ctx context.Context) error {
	floor, err := b.role(ctx, "-role", "gin")
	if err != nil {
		return err
	}
	defer floor.stop() //nolint:errcheck // it has nothing to say
	one, _, err := b.product.with(shopConfig, map[string]string{"catalog.yaml": shopCatalog, "agent.json": agentProfile}).start(ctx, 1, "warn")
	if err != nil {
		return err
	}
	defer one.stop() //nolint:errcheck // it has nothing to say
	f := &contender{process: floor, load: load{addr: floor.addr, connections: connections, request: same(get(target, floor.addr)), status: http.StatusOK}}
	const document = "/.well-known/ucp"
	d := &contender{process: one, load: load{addr: one.addr, connections: connections, request: same(get(document, one.addr)), status: http.StatusOK}}
	tag, err := etag(one.addr, document)
	if err != nil {
		return err
	}
	n := &contender{process: one, load: load{addr: one.addr, connections: connections, request: same(get(document, one.addr, "If-None-Match: "+tag)), status: http.StatusNotModified}}
	if err := b.turns(f, d, n); err != nil {
		return err
	}
	b.ratio("discovery of the shop, per core; floor: bare gin hello", 0.80, d.rates, f.rates)
	b.ratio("the same, not modified; floor: bare gin hello", 0, n.rates, f.rates)
	two, _, err := b.product.with(shopConfig, map[string]string{"catalog.yaml": shopCatalog, "agent.json": agentProfile}).start(ctx, 2, "warn")
	if err != nil {
		return err
	}
	defer two.stop() //nolint:errcheck // it has nothing to say
	return b.checkouts(ctx, two)
}

func etag(addr, document string) (string, error) {
	c, err := dial(addr)
	if err != nil {
		return "", err
	}
	defer c.Close() //nolint:errcheck // it was read to its end
	_, head, err := c.do(get(document, addr))
	if err != nil {
		return "", err
	}
	if tag := fields(head).Get("Etag"); tag != "" {
		return tag, nil
	}
	return "", errors.New("the shop's profile has no ETag")
}

// A step is a call in the life of a checkout.
type step struct {
	name    string
	status  int
	request func(n int, ids []string) []byte
	// expect is in every answer that is looked at.
	expect string
}

var shopKeys int //nolint:gochecknoglobals // a counter of this program

// call is one of an agent, under a key that was never used.
func call(method, path, body string) []byte {
	shopKeys++
	head := method + " /ucp/v1" + path + " HTTP/1.1\r\nHost: " + realm + "\r\nUser-Agent: bench\r\nAccept: application/json\r\nContent-Type: application/json\r\n" +
		`UCP-Agent: profile="` + shopAgent + "\"\r\nX-API-Key: " + shopKey + "\r\nIdempotency-Key: bench-key-" + strconv.Itoa(shopKeys) +
		"\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n"
	return []byte(head + body)
}

func steps() []step {
	return []step{
		{"created", http.StatusCreated, func(int, []string) []byte { return call(http.MethodPost, "/checkout-sessions", wanted) }, `"ready_for_complete"`},
		{"updated", http.StatusOK, func(n int, ids []string) []byte {
			return call(http.MethodPut, "/checkout-sessions/"+ids[n], strings.Replace(wanted, `"quantity":2`, `"quantity":3`, 1))
		}, `"ready_for_complete"`},
		{"completed", http.StatusOK, func(n int, ids []string) []byte {
			tokens++
			return call(http.MethodPost, "/checkout-sessions/"+ids[n]+"/complete",
				`{"payment":{"instruments":[{"id":"pi_1","handler_id":"stripe_main","type":"link","credential":{"type":"stripe_payment_token","token":"spt_`+strconv.Itoa(tokens)+`"}}]}}`)
		}, `"completed"`},
	}
}

// checkouts takes as many from their making to their order, beside commits of one row,
// one after the other.
func (b *bench) checkouts(ctx context.Context, p *process) error {
	dir, err := os.MkdirTemp(b.root, "commits")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	store, err := sqlstore.Open(ctx, sqlstore.Config{DSN: "sqlite:" + filepath.Join(dir, "bench.db")})
	if err != nil {
		return err //nolint:wrapcheck // it says what to do
	}
	defer store.Close() //nolint:errcheck // it goes with its folder
	for _, inFlight := range []int{64, 1} {
		rates, late := map[string][]float64{}, map[string][]float64{}
		commit := map[string]float64{}
		var floor []float64
		many := max(b.many/4, 8*inFlight)
		if inFlight == 1 {
			many = b.many / 20
		}
		for round := range b.rounds + 1 {
			began := time.Now()
			const rows = 50
			for i := range rows {
				if err := store.SetSetting(ctx, "bench", strconv.Itoa(i)); err != nil {
					return err //nolint:wrapcheck // it says what it did
				}
			}
			durable := rows / time.Since(began).Seconds()
			var ids []string
			for _, s := range steps() {
				before, err := storeCommits(p)
				if err != nil {
					return err
				}
				got, made, err := s.run(p, inFlight, many, ids)
				if err != nil {
					return fmt.Errorf("checkouts %s: %w", s.name, err)
				}
				after, err := storeCommits(p)
				if err != nil {
					return err
				}
				if ids == nil {
					ids = made
				}
				if round == 0 {
					continue // it warms up
				}
				rates[s.name] = append(rates[s.name], got.perSecond())
				for _, t := range got.times {
					late[s.name] = append(late[s.name], float64(t.Microseconds())/1000)
				}
				commit[s.name] += (after - before) / float64(many*b.rounds)
			}
			if round > 0 {
				floor = append(floor, durable)
			}
		}
		at := ", " + strconv.Itoa(inFlight) + " at a time"
		for _, s := range steps() {
			b.ratio("checkout "+s.name+at+", SQLite synchronous=FULL; floor: commits of one row, one by one", 0, rates[s.name], floor)
			b.add(figure{name: "p99 of a checkout " + s.name + at, ours: number(percentile(late[s.name], 99)) + " ms"})
			b.add(figure{name: "commits for a checkout " + s.name + at, ours: number(commit[s.name])})
		}
	}
	return nil
}

// run makes so many calls, and returns the ids of the checkouts that the first few
// answers, or where none are known yet all, are of.
func (s step) run(p *process, inFlight, many int, ids []string) (sample, []string, error) {
	requests := make([][]byte, many)
	for n := range requests {
		requests[n] = s.request(n, ids)
	}
	l := load{addr: p.addr, connections: inFlight, status: s.status, latencies: true, request: func(n int) []byte {
		if n >= len(requests) {
			return nil
		}
		return requests[n]
	}}
	made := make(chan string, many)
	l.read = func(body []byte) error {
		var doc struct{ ID, Status string }
		if err := json.Unmarshal(body, &doc); err != nil || doc.ID == "" || `"`+doc.Status+`"` != s.expect {
			return fmt.Errorf("the answer is %.300s", body)
		}
		made <- doc.ID
		return nil
	}
	got, err := l.run()
	if err != nil {
		return got, nil, err
	}
	close(made)
	var all []string
	for id := range made {
		all = append(all, id)
	}
	return got, all, nil
}

// storeCommits reads how many commits the server's store has made.
func storeCommits(p *process) (float64, error) {
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Get("http://" + p.admin + "/metrics") //nolint:noctx // it has a timeout
	if err != nil {
		return 0, fmt.Errorf("count commits: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "paywall_store_commits_total "); ok {
			return strconv.ParseFloat(value, 64) //nolint:wrapcheck // it names the text
		}
	}
	return 0, errors.Join(errors.New("count commits: no paywall_store_commits_total"), lines.Err())
}
