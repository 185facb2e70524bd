package facilitator

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Config says how a [Server] behaves. Its zero value is good.
type Config struct {
	// Now is the clock of facilitator and chains. Nil means time.Now.
	Now func() time.Time
	// Assets are the tokens that exist; their networks are the chains that do. Nil
	// means [DefaultAssets].
	Assets []Asset
	// StartingUnits is what every address has of every token, in its smallest
	// unit. Zero means 1,000,000,000, which is 1000 USDC; negative means nothing.
	StartingUnits int64
	// Repeat is how a settlement that was executed is answered when it is asked for
	// again: [RepeatStored], which is also what empty means, or [RepeatRefused].
	Repeat string
	// Finality is how far the blocks called safe and finalized are behind the latest.
	Finality time.Duration
	// LogRange is how many blocks one eth_getLogs may ask for, 10000 with many
	// public nodes. Zero means any number.
	LogRange uint64
	// Transferred, if not nil, is called after money has moved by a settlement,
	// without a lock.
	Transferred func()
}

const (
	defaultStart = 1_000_000_000
	maxBody      = 256 << 10
)

// A Server is the facilitator and its chains. It is safe for concurrent use.
type Server struct {
	cfg    Config
	now    func() time.Time
	tokens map[uint64][]*token
	start  *big.Int
	self   address // who sends the transactions
	mux    *http.ServeMux
	calls  map[selector]contractCall

	mu       sync.Mutex // guards everything below
	chains   map[uint64]*chain
	waiting  []*settlement // those that a time confirms
	sequence uint64
	repeat   string
	asked    []Call
	total    int
	catalog  catalog
}

// New returns a facilitator that has settled nothing. An error names the wrong
// member of the configuration.
func New(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, now: cfg.Now, mux: http.NewServeMux(), calls: contractCalls()}
	if s.now == nil {
		s.now = time.Now
	}
	if cfg.Assets == nil {
		cfg.Assets = DefaultAssets()
	}
	var err error
	if s.tokens, err = tokensOf(cfg.Assets); err != nil {
		return nil, fmt.Errorf("facilitator: %w", err)
	}
	if err := checkRepeat(cfg.Repeat); err != nil {
		return nil, err
	}
	if cfg.Finality < 0 {
		return nil, errors.New("facilitator: Finality: want no negative duration")
	}
	s.start = big.NewInt(max(cfg.StartingUnits, 0))
	if cfg.StartingUnits == 0 {
		s.start.SetInt64(defaultStart)
	}
	h := keccak([]byte("the facilitator of the sandbox"))
	copy(s.self[:], h[:])
	s.Reset()
	s.mux.HandleFunc("GET /facilitator/supported", s.supported)
	s.mux.HandleFunc("POST /facilitator/verify", s.serveVerify)
	s.mux.HandleFunc("POST /facilitator/settle", s.serveSettle)
	s.mux.HandleFunc("GET /facilitator/discovery/resources", s.discovery)
	s.mux.HandleFunc("POST /rpc/{chain}", s.serveNode)
	return s, nil
}

func checkRepeat(repeat string) error {
	if repeat != "" && repeat != RepeatStored && repeat != RepeatRefused {
		return fmt.Errorf("facilitator: repeat: want %s or %s", RepeatStored, RepeatRefused)
	}
	return nil
}

// Reset forgets every balance, nonce, transfer and block.
func (s *Server) Reset() {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chains = make(map[uint64]*chain, len(s.tokens))
	for id, tokens := range s.tokens {
		s.chains[id] = newChain(id, tokens, s.start, now)
	}
	s.waiting, s.sequence, s.repeat = nil, 0, s.cfg.Repeat
	s.asked, s.total, s.catalog = nil, 0, catalog{}
}

// ServeHTTP answers /facilitator/… and /rpc/….
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Address is the account that the facilitator sends its transactions from.
func (s *Server) Address() string { return s.self.String() }

type object = map[string]any

func answer(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "the answer cannot be rendered", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body) //nolint:errcheck // the client left
}

// take reads a body and the order in it. The hash of the body is always given.
func (s *Server) take(w http.ResponseWriter, r *http.Request) (o *order, of *token, call Call, err error) {
	call = Call{At: s.now().UTC(), Endpoint: strings.TrimPrefix(r.URL.Path, "/facilitator/")}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	sum := sha256.Sum256(body)
	call.Body = hex.EncodeToString(sum[:])
	if err != nil {
		return nil, nil, call, &refusal{code: codePayload, bad: true}
	}
	if o, err = read(body); err != nil {
		return nil, nil, call, err
	}
	call.Network, call.Payer = o.network, o.payer
	if of, err = s.signed(o); err != nil {
		return o, nil, call, err
	}
	call.Authorization = o.digest(of).String()
	return o, of, call, nil
}

func (s *Server) serveVerify(w http.ResponseWriter, r *http.Request) {
	o, of, call, err := s.take(w, r)
	if err == nil {
		err = s.verify(o, of)
	}
	if err == nil {
		call.Outcome = "valid"
		s.record(call)
		s.list(w, o)
		answer(w, http.StatusOK, object{"isValid": true, "payer": o.payer})
		return
	}
	status, code, payer := explain(o, err)
	call.Outcome = code
	s.record(call)
	body := object{"isValid": false, "invalidReason": code}
	if payer != "" {
		body["payer"] = payer
	}
	answer(w, status, body)
}

// verify checks an order against the chain without touching it.
func (s *Server) verify(o *order, of *token) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	units := o.amount
	if o.permit != nil {
		// Of upto too, the ceiling is what is asked for before anything was used.
		if units.Cmp(o.permit.amount) != 0 {
			return refuse(codePermitAmount)
		}
	}
	return s.chains[o.chain].executable(o, of, units, s.now(), margin)
}

// explain says how an error is answered.
func explain(o *order, err error) (status int, code, payer string) {
	status = http.StatusOK
	if o != nil {
		payer = o.payer
	}
	if err == nil {
		return status, "", payer
	}
	code = codeOf(err)
	if r, ok := errors.AsType[*refusal](err); ok {
		if payer == "" {
			payer = r.payer
		}
		if r.bad {
			status = http.StatusBadRequest
		}
	}
	return status, code, payer
}

func (s *Server) serveSettle(w http.ResponseWriter, r *http.Request) {
	o, of, call, err := s.take(w, r)
	var out outcome
	status, code, payer := explain(o, err)
	if out.code = code; err == nil {
		var late *pending
		if p, ok := r.Context().Value(pendingKey{}).(pending); ok {
			late = &p
		}
		out = s.settle(o, of, late)
	}
	network := ""
	if o != nil {
		network = o.network
	}
	call.Outcome, call.Transaction = out.code, out.transaction
	if out.code == "" {
		call.Outcome = "settled"
	}
	s.record(call)
	body := object{"success": out.code == "", "transaction": out.transaction, "network": network}
	if payer != "" {
		body["payer"] = payer
	}
	if out.code != "" {
		body["errorReason"] = out.code
	} else {
		s.list(w, o)
		if o.version == 2 {
			body["amount"] = out.units.String()
		}
	}
	if out.transaction != "" && s.cfg.Transferred != nil {
		s.cfg.Transferred()
	}
	answer(w, status, body)
}
