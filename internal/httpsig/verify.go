package httpsig

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Keys finds the keys of the signer by their id.
type Keys func(id string) []Key

// Verified is what a signature has proved.
type Verified struct{ KeyID string }

// Signed reports whether a message claims to be signed.
func Signed(h http.Header) bool {
	return len(h[fieldInput]) > 0 || len(h[fieldSignature]) > 0
}

// VerifyRequest holds the signatures of a request against the keys. One that covers
// all that must be covered and holds is enough. Errors are those of this package.
func VerifyRequest(p Parts, body []byte, keys Keys, now time.Time) (Verified, error) {
	must := []string{"@method", "@authority", "@path"}
	if p.RawQuery != "" {
		must = append(must, "@query")
	}
	for _, name := range []string{"ucp-agent", "idempotency-key", "signature-agent"} {
		if len(p.Header.Values(name)) > 0 {
			must = append(must, name)
		}
	}
	return verify(p.Header, must, body, keys, now, p.value)
}

// VerifyResponse is [VerifyRequest] for an answer.
func VerifyResponse(h http.Header, status int, body []byte, keys Keys, now time.Time) (Verified, error) {
	return verify(h, []string{"@status"}, body, keys, now, func(name string) (string, bool) {
		if name == "@status" {
			return strconv.Itoa(status), true
		}
		if name != "" && name[0] == '@' {
			return "", false
		}
		return combined(h, name)
	})
}

func verify(h http.Header, must []string, body []byte, keys Keys, now time.Time, value func(string) (string, bool)) (Verified, error) {
	if !Signed(h) {
		return Verified{}, ErrMissing
	}
	if len(body) > 0 {
		must = append(must, "content-digest")
		if h.Get("Content-Type") != "" {
			must = append(must, "content-type")
		}
	}
	field, _ := combined(h, "signature-input")
	inputs, ok := parseInputs(field)
	if !ok {
		return Verified{}, ErrInvalid
	}
	field, _ = combined(h, "signature")
	signatures, ok := parseBytes(field)
	if !ok {
		return Verified{}, ErrInvalid
	}
	if field, there := combined(h, "content-digest"); there {
		if err := CheckDigest(field, body); err != nil {
			return Verified{}, err
		}
	}
	err := ErrInvalid
	for _, in := range inputs {
		sig, there := signatures[in.label]
		if !there {
			continue
		}
		id, one := in.check(must, sig, keys, now, value)
		if one == nil {
			return Verified{KeyID: id}, nil
		}
		if err == ErrInvalid { //nolint:errorlint // the very value: a reason that says more wins
			err = one
		}
	}
	return Verified{}, err
}

// check holds one signature against the keys.
func (in input) check(must []string, sig []byte, keys Keys, now time.Time, value func(string) (string, bool)) (id string, err error) {
	for _, name := range must {
		if !slices.Contains(in.components, name) {
			return "", ErrInvalid
		}
	}
	alg := ""
	for _, p := range in.params {
		switch p.name {
		case "keyid":
			id = p.text
		case "created":
			if p.isText || time.Unix(p.number, 0).After(now.Add(clockSkew)) {
				return "", ErrInvalid
			}
		case "expires":
			if p.isText || !now.Before(time.Unix(p.number, 0)) {
				return "", ErrInvalid
			}
		case "alg":
			alg = p.text
		case "nonce", "tag":
		default:
			return "", ErrInvalid
		}
	}
	found := keys(id)
	if id == "" || len(found) == 0 {
		return "", &KeyError{id}
	}
	base, ok := base(in, value)
	if !ok {
		return "", ErrInvalid
	}
	err = ErrInvalid
	for _, k := range found {
		if k.unknown {
			err = ErrAlgorithm
			continue
		}
		// The key says how it signs; who names another way contradicts it.
		if (alg == "" || alg == k.algorithm()) && k.verify(base, sig) {
			return id, nil
		}
		err = ErrInvalid
	}
	return "", err
}
