package httpsig

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Header fields.
const (
	fieldInput     = "Signature-Input"
	fieldSignature = "Signature"
	fieldDigest    = "Content-Digest"
)

// Digest is the Content-Digest of a body.
func Digest(body []byte) string {
	sum := sha256.Sum256(body)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// CheckDigest holds a Content-Digest against the body: every digest of a known kind
// must be the body's, and one there must be. Errors are [ErrDigestMismatch] and [ErrAlgorithm].
func CheckDigest(field string, body []byte) error {
	all, ok := parseBytes(field)
	if !ok {
		return fmt.Errorf("%w: it cannot be read", ErrDigestMismatch)
	}
	known := false
	for name, got := range all {
		var want []byte
		switch name {
		case "sha-256":
			sum := sha256.Sum256(body)
			want = sum[:]
		case "sha-512":
			sum := sha512.Sum512(body)
			want = sum[:]
		default:
			continue
		}
		known = true
		if subtle.ConstantTimeCompare(got, want) != 1 {
			return ErrDigestMismatch
		}
	}
	if !known {
		return ErrAlgorithm
	}
	return nil
}

// Signer signs with ES256. It is safe for concurrent use.
type Signer struct {
	// KeyID is the kid of the published key.
	KeyID string
	// Key is on P-256.
	Key crypto.Signer
}

// optional are the fields that are covered where they are there.
var optional = []string{"ucp-agent", "idempotency-key", "webhook-id", "webhook-timestamp", "signature-agent"}

// SignRequest adds Content-Digest, when there is a body, Signature-Input and Signature.
func (s Signer) SignRequest(r *http.Request, body []byte) error {
	parts := PartsOf(r)
	covered := []string{"@method", "@authority", "@path"}
	if parts.RawQuery != "" {
		covered = append(covered, "@query")
	}
	for _, name := range optional {
		if len(r.Header.Values(name)) > 0 {
			covered = append(covered, name)
		}
	}
	return s.sign(r.Header, covered, body, parts.value)
}

// SignResponse adds the same to the header of an answer.
func (s Signer) SignResponse(h http.Header, status int, body []byte) error {
	return s.sign(h, []string{"@status"}, body, func(name string) (string, bool) {
		if name == "@status" {
			return strconv.Itoa(status), true
		}
		return combined(h, name)
	})
}

func (s Signer) sign(h http.Header, covered []string, body []byte, value func(string) (string, bool)) error {
	if len(body) > 0 {
		h.Set(fieldDigest, Digest(body))
		covered = append(covered, "content-digest")
		if h.Get("Content-Type") != "" {
			covered = append(covered, "content-type")
		}
	}
	quoted := make([]string, len(covered))
	for i, name := range covered {
		quoted[i] = strconv.Quote(name)
	}
	raw := "(" + strings.Join(quoted, " ") + `);keyid="` + s.KeyID + `"`
	base, ok := base(input{components: covered, raw: raw}, value)
	if !ok {
		return fmt.Errorf("sign: a component is missing: %w", ErrInvalid)
	}
	pub, ok := s.Key.Public().(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P256() {
		return fmt.Errorf("sign: the key is not on P-256: %w", ErrAlgorithm)
	}
	der, err := s.Key.Sign(rand.Reader, hashed(pub.Curve, base), crypto.SHA256)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	sig, err := fixed(der)
	if err != nil {
		return err
	}
	h.Set(fieldInput, "sig1="+raw)
	h.Set(fieldSignature, "sig1=:"+base64.StdEncoding.EncodeToString(sig)+":")
	return nil
}

// hashed is the digest that a key on a curve signs.
func hashed(curve elliptic.Curve, base string) []byte {
	if curve == elliptic.P384() {
		sum := sha512.Sum384([]byte(base))
		return sum[:]
	}
	sum := sha256.Sum256([]byte(base))
	return sum[:]
}

// fixed turns a signature of P-256 from its ASN.1 form into r and s, 32 bytes each.
func fixed(der []byte) ([]byte, error) {
	out := make([]byte, 64)
	rest, ok := element(der, 0x30)
	if !ok {
		return nil, fmt.Errorf("sign: %w", ErrAlgorithm)
	}
	for i := range 2 {
		var n []byte
		if n, rest, ok = integer(rest); !ok || len(n) > 32 {
			return nil, fmt.Errorf("sign: %w", ErrAlgorithm)
		}
		copy(out[32*(i+1)-len(n):], n)
	}
	return out, nil
}

// element is the content of a short ASN.1 element.
func element(in []byte, tag byte) ([]byte, bool) {
	if len(in) < 2 || in[0] != tag || in[1] > 0x7f || len(in) < 2+int(in[1]) {
		return nil, false
	}
	return in[2 : 2+int(in[1])], true
}

// integer is a positive ASN.1 integer without leading zeros, and what follows it.
func integer(in []byte) (n, rest []byte, ok bool) {
	n, ok = element(in, 0x02)
	if !ok {
		return nil, nil, false
	}
	rest = in[2+len(n):]
	for len(n) > 0 && n[0] == 0 {
		n = n[1:]
	}
	return n, rest, true
}

// Parts are what is covered of a request, as it was sent.
type Parts struct {
	Method, Authority string
	// Path and RawQuery are in their escaped form.
	Path, RawQuery string
	Header         http.Header
}

// PartsOf reads them of a request that is to be sent.
func PartsOf(r *http.Request) Parts {
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	return Parts{Method: r.Method, Authority: authority(host, r.URL), Path: path, RawQuery: r.URL.RawQuery, Header: r.Header}
}

// authority is in lower case, without the scheme's own port.
func authority(host string, u *url.URL) string {
	host = strings.ToLower(host)
	if u != nil && u.Scheme == "http" {
		return strings.TrimSuffix(host, ":80")
	}
	return strings.TrimSuffix(host, ":443")
}

// value is that of a component.
func (p Parts) value(name string) (string, bool) {
	switch name {
	case "@method":
		return p.Method, true
	case "@authority":
		return p.Authority, true
	case "@path":
		return p.Path, true
	case "@query":
		return "?" + p.RawQuery, true
	}
	if strings.HasPrefix(name, "@") {
		return "", false
	}
	return combined(p.Header, name)
}

// combined is a field's value (RFC 9421, section 2.1).
func combined(h http.Header, name string) (string, bool) {
	values := h.Values(name)
	if len(values) == 0 || name != strings.ToLower(name) {
		return "", false
	}
	trimmed := make([]string, len(values))
	for i, v := range values {
		trimmed[i] = strings.TrimSpace(v)
	}
	return strings.Join(trimmed, ", "), true
}

// base is what is signed (section 2.5).
func base(in input, value func(string) (string, bool)) (string, bool) {
	var b strings.Builder
	for _, name := range in.components {
		v, ok := value(name)
		if !ok || strings.ContainsAny(v, "\r\n") {
			return "", false
		}
		b.WriteString(strconv.Quote(name) + ": " + v + "\n")
	}
	b.WriteString(`"@signature-params": ` + in.raw)
	return b.String(), true
}

// clockSkew is how far clocks may differ.
const clockSkew = 5 * time.Minute
