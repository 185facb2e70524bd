package stripe

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"time"
)

// keyLife is how long an answer is kept; afterwards the key is new again, and a
// call under it charges again.
const keyLife = 24 * time.Hour

const maxKey = 255

// A saved is what one idempotency key stands for.
type saved struct {
	form      [sha256.Size]byte // of everything that must be equal
	endpoint  string
	at        time.Time
	running   bool
	status    int
	body      []byte
	requestID string
}

// keys is the idempotency store. Its caller holds the server's mutex.
type keys struct {
	byKey  map[string]*saved
	oldest []string // in the order of arrival, for pruning
}

// fingerprint covers endpoint, account, version and parameters.
func fingerprint(endpoint, account, version, form string) [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%q %q %q %s", endpoint, account, version, form))
}

func (k *keys) prune(now time.Time) {
	for len(k.oldest) > 0 {
		first := k.byKey[k.oldest[0]]
		if first != nil && (first.running || now.Sub(first.at) < keyLife) {
			return
		}
		delete(k.byKey, k.oldest[0])
		k.oldest = k.oldest[1:]
	}
}

// begin reserves a key. It returns an earlier answer to give again, or a new
// reservation that must be ended with [keys.store] or [keys.release].
func (k *keys) begin(key, endpoint string, form [sha256.Size]byte, now time.Time) (earlier, fresh *saved, err error) {
	k.prune(now)
	if s := k.byKey[key]; s != nil {
		switch {
		case s.endpoint != endpoint:
			return nil, nil, &Error{
				Status: http.StatusBadRequest, Type: "idempotency_error",
				Message: fmt.Sprintf("Keys for idempotent requests can only be used for the same endpoint they were first used for ('%s').", s.endpoint),
			}
		case s.form != form:
			return nil, nil, &Error{
				Status: http.StatusBadRequest, Type: "idempotency_error",
				Message: "Keys for idempotent requests can only be used with the same parameters they were first used with.",
			}
		case s.running:
			return nil, nil, errKeyInUse()
		}
		return s, nil, nil
	}
	s := &saved{form: form, endpoint: endpoint, at: now, running: true}
	if k.byKey == nil {
		k.byKey = make(map[string]*saved)
	}
	k.byKey[key] = s
	k.oldest = append(k.oldest, key)
	return nil, s, nil
}

func errKeyInUse() *Error {
	return &Error{
		Status: http.StatusConflict, Type: "idempotency_error", Code: "idempotency_key_in_use",
		Message: "There is currently another in-progress request using this Idempotent Key (that probably means you submitted twice, " +
			"and the other request is still going through). Please try again later.",
	}
}

// store keeps an answer under a reservation.
func (k *keys) store(s *saved, status int, body []byte, requestID string) {
	s.running, s.status, s.body, s.requestID = false, status, body, requestID
}

// release gives a reservation back: nothing was executed under it.
func (k *keys) release(key string, s *saved) {
	if s.running && k.byKey[key] == s {
		delete(k.byKey, key)
	}
}
