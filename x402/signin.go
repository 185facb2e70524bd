package x402

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"paywall/payment"
	"paywall/x402/evm"
)

const (
	fieldSignIn = "Sign-In-With-X"
	// signInLife is how long a challenge to sign in is good.
	signInLife = 5 * time.Minute
	// nonceSize is that of either half of a nonce: what it says, and proof that it is ours.
	nonceSize = 8
	typeEVM   = "eip191"
)

// signIn is the extension sign-in-with-x: who paid comes back by a signature of the
// same key. Nothing is kept of a challenge, for all that comes from its nonce: the
// second it was made in, four bytes of chance, and a code over both and the resource.
type signIn struct {
	origin, domain string
	key            []byte
}

func newSignIn(origin string, key []byte) signIn {
	_, domain, _ := strings.Cut(origin, "://")
	return signIn{origin, domain, key}
}

func (signIn) ID() string { return ExtensionSignIn }

// signInSchema says as little as there must be: it travels with every challenge.
const signInSchema = `{"type":"object","required":["address","chainId","nonce","signature"]}`

// Declare implements [Extension]. Without an offer on a chain nobody has signed
// anything to be known again by.
func (x signIn) Declare(_ []payment.Offer, entries []PaymentRequirements) (Declaration, error) {
	type chain struct {
		ID   string `json:"chainId"`
		Type string `json:"type"`
	}
	var chains []chain
	for _, network := range evmNetworks(entries) {
		chains = append(chains, chain{network, typeEVM})
	}
	if chains == nil {
		return Declaration{}, nil
	}
	supported, err := marshal(chains)
	if err != nil {
		return Declaration{}, err
	}
	origin, err := marshal(x.origin)
	if err != nil {
		return Declaration{}, err
	}
	domain, err := marshal(x.domain)
	if err != nil {
		return Declaration{}, err
	}
	head := `{"info":{"domain":` + string(domain) + `,"uri":` + string(origin) + `,"version":"1","nonce":"`
	tail := `"},"supportedChains":` + string(supported) + `,"schema":` + signInSchema + `}`
	const times = `","issuedAt":"2006-01-02T15:04:05Z","expirationTime":"2006-01-02T15:04:05Z`
	return Declaration{
		Object: json.RawMessage(head + tail), Dynamic: []string{"nonce"}, Room: len(times) + 4*nonceSize,
		Fresh: func(b []byte, s payment.Scope, _ string, now time.Time) ([]byte, error) {
			nonce := x.nonce(now, s.Target)
			issued, expires := signInTimes(now)
			b = append(append(b, head...), nonce...)
			b = append(append(b, `","issuedAt":"`...), issued...)
			b = append(append(b, `","expirationTime":"`...), expires...)
			return append(b, tail...), nil
		},
	}, nil
}

func evmNetworks(entries []PaymentRequirements) []string {
	var out []string
	for i := range entries {
		if network := entries[i].Network; strings.HasPrefix(network, "eip155:") && !slices.Contains(out, network) {
			out = append(out, network)
		}
	}
	return out
}

// signInTimes are issuedAt and expirationTime as they are written.
func signInTimes(at time.Time) (issued, expires string) {
	at = at.UTC().Truncate(time.Second)
	return at.Format(time.RFC3339), at.Add(signInLife).Format(time.RFC3339)
}

func (x signIn) nonce(now time.Time, target string) string {
	// Seconds fit until 2106; what wraps is refused as stale.
	said := binary.BigEndian.AppendUint32(make([]byte, 0, 2*nonceSize), uint32(now.Unix()))
	said = said[:nonceSize]
	_, _ = rand.Read(said[nonceSize/2:]) // it never fails
	return hex.EncodeToString(append(said, x.code(said, target)...))
}

func (x signIn) code(said []byte, target string) []byte {
	m := hmac.New(sha256.New, x.key)
	m.Write([]byte("sign-in-with-x nonce\x00"))
	m.Write(said)
	m.Write([]byte(target))
	return m.Sum(nil)[:nonceSize]
}

// issued is when a nonce of ours for the target was made.
func (x signIn) issued(nonce, target string) (time.Time, bool) {
	b, err := hex.DecodeString(nonce)
	if err != nil || len(b) != 2*nonceSize || nonce != strings.ToLower(nonce) || !hmac.Equal(b[nonceSize:], x.code(b[:nonceSize], target)) {
		return time.Time{}, false
	}
	return time.Unix(int64(binary.BigEndian.Uint32(b)), 0).UTC(), true
}

// signedIn is what a payer sends to be known again.
type signedIn struct {
	domain, address, uri, version, chainID, kind, nonce, issuedAt, expires, scheme, signature string
}

// parseSignIn reads the field. Members that our challenges do not have may be there as
// null alone: what is signed is put together again from what is known here.
func parseSignIn(field string) (p signedIn, err error) {
	data, err := decodeBase64(field)
	if err != nil {
		return p, err
	}
	if err := check(data); err != nil {
		return p, err
	}
	var statement, notBefore, requestID, resources json.RawMessage
	err = readObject(data, member{"domain", &p.domain, true}, member{"address", &p.address, true}, member{"uri", &p.uri, true},
		member{"version", &p.version, true}, member{"chainId", &p.chainID, true}, member{"type", &p.kind, true},
		member{"nonce", &p.nonce, true}, member{"issuedAt", &p.issuedAt, true}, member{"expirationTime", &p.expires, true},
		member{"signatureScheme", &p.scheme, false}, member{"signature", &p.signature, true},
		member{"statement", &statement, false}, member{"notBefore", &notBefore, false},
		member{"requestId", &requestID, false}, member{"resources", &resources, false})
	if err == nil && (statement != nil || notBefore != nil || requestID != nil || resources != nil) {
		err = ErrJSON
	}
	return p, err
}

// text is what was signed (EIP-4361).
func (p *signedIn) text(chain uint64) []byte {
	return []byte(p.domain + " wants you to sign in with your Ethereum account:\n" + p.address + "\n\n\nURI: " + p.uri +
		"\nVersion: " + p.version + "\nChain ID: " + strconv.FormatUint(chain, 10) + "\nNonce: " + p.nonce +
		"\nIssued At: " + p.issuedAt + "\nExpiration Time: " + p.expires)
}

// SignedIn implements [payment.SignIn].
func (d *dialect) SignedIn(r *http.Request, s payment.Scope, now time.Time) (payment.Visitor, error) {
	fields := r.Header[fieldSignIn]
	if len(fields) == 0 || d.cfg.SignInKey == nil {
		return payment.Visitor{}, payment.ErrNoCredential
	}
	const unread = "The proof of sign-in-with-x cannot be read."
	if len(fields) > 1 || strings.Contains(fields[0], ",") {
		return payment.Visitor{}, refuse(payment.KindBadRequest, CodeInvalidPayload, "More than one proof of sign-in-with-x.", errSeveral)
	}
	p, err := parseSignIn(fields[0])
	if err != nil {
		return payment.Visitor{}, refuse(payment.KindBadRequest, CodeInvalidPayload, unread, err)
	}
	v, err := d.visitor(&p, s, now)
	if err != nil {
		return payment.Visitor{}, refuse(payment.KindPaymentRequired, CodeSignIn, "The proof of sign-in-with-x is not good for this request: "+err.Error()+".", errSignIn)
	}
	return v, nil
}

// visitor checks a proof in the order of its cost. Errors are for the payer.
func (d *dialect) visitor(p *signedIn, s payment.Scope, now time.Time) (v payment.Visitor, err error) {
	x := newSignIn(d.cfg.Origin, d.cfg.SignInKey)
	if p.domain != x.domain || p.uri != x.origin || p.version != "1" {
		return v, errors.New("it is for another service")
	}
	if p.kind != typeEVM || p.scheme != "" && p.scheme != typeEVM {
		return v, errors.New("the type of its signature is not taken")
	}
	at, ours := x.issued(p.nonce, s.Target)
	if issued, expires := signInTimes(at); !ours || p.issuedAt != issued || p.expires != expires {
		return v, errors.New("it answers no challenge of this resource")
	}
	if end := at.Add(signInLife); now.Before(at) || !now.Before(end) {
		return v, errors.New("its time is over")
	}
	known := false
	for i := range d.entries {
		known = known || d.entries[i].need.Network == p.chainID
	}
	chain, err := evm.ChainID(p.chainID)
	if err != nil || !known {
		return v, errors.New("its chain is none of the offers'")
	}
	address, err := evm.ParseAddress(p.address)
	if err != nil {
		return v, errors.New("its address is none")
	}
	signature, err := evm.ParseSignature(p.signature)
	if err != nil {
		return v, errors.New("its signature is none")
	}
	if signer, err := evm.Recover(evm.TextDigest(p.text(chain)), signature); err != nil || signer != address {
		return v, errors.New("its signature is not that of its address")
	}
	return payment.Visitor{Payer: address.String(), Nonce: p.nonce, Expires: at.Add(signInLife)}, nil
}
