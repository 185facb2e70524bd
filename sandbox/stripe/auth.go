package stripe

import (
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"
)

// DefaultVersion is the API version of a call that names none.
const DefaultVersion = "2026-08-26.dahlia"

const (
	platformAccount = "acct_sandboxplatform"
	noMoney         = "This is a local sandbox where no money moves"
)

var (
	versionForm = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}(\.[a-z]+)?$`)
	accountForm = regexp.MustCompile(`^acct_[A-Za-z0-9_]{1,64}$`)
)

// secret finds the API key: the Bearer value, or the user name of Basic.
func secret(h http.Header) string {
	scheme, value, _ := strings.Cut(h.Get("Authorization"), " ")
	value = strings.TrimSpace(value)
	switch strings.ToLower(scheme) {
	case "bearer":
		return value
	case "basic":
		raw, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return ""
		}
		key, _, _ := strings.Cut(string(raw), ":")
		return key
	}
	return ""
}

// authenticate accepts test keys. A restricted key whose name begins
// rk_test_readonly may read only, so that missing permissions can be tried.
func authenticate(r *http.Request, account string) error {
	key := secret(r.Header)
	deny := func(format string) error {
		return &Error{Status: http.StatusUnauthorized, Type: "invalid_request_error", Message: format}
	}
	for _, live := range []string{"sk_live_", "rk_live_", "pk_live_"} {
		if strings.HasPrefix(key, live) {
			return deny("Invalid API Key provided: " + live + "****. " + noMoney + ", and it refuses live keys: use one that begins sk_test_.")
		}
	}
	switch {
	case key == "":
		return deny("You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth " +
			"(e.g. 'Authorization: Bearer YOUR_SECRET_KEY').")
	case strings.HasPrefix(key, "pk_test_"):
		e := &Error{
			Status: http.StatusUnauthorized, Type: "invalid_request_error", Code: "secret_key_required",
			Message: "This API call cannot be made with a publishable API key. Please use a secret API key.",
		}
		return e
	case strings.HasPrefix(key, "sk_test_") && len(key) > len("sk_test_"):
		return nil
	case strings.HasPrefix(key, "rk_test_readonly") && r.Method != http.MethodGet:
		return &Error{
			Status: http.StatusForbidden, Type: "invalid_request_error",
			Message: "The provided key 'rk_test_****' does not have the required permissions for this endpoint on account '" + account + "'.",
		}
	case strings.HasPrefix(key, "rk_test_") && len(key) > len("rk_test_"):
		return nil
	case len(key) >= 3 && key[2] == '_':
		return deny("Invalid API Key provided: " + key[:3] + "****")
	}
	return deny("Invalid API Key provided: ****")
}

// version is the effective API version.
func version(h http.Header, fallback string) (string, error) {
	v := h.Get("Stripe-Version")
	if v == "" {
		return fallback, nil
	}
	if !versionForm.MatchString(v) {
		return "", invalid("", "", "Invalid Stripe API version: %.40s", v)
	}
	return v, nil
}

// preview reports whether a version opens what is not generally available,
// shared payment tokens above all.
func preview(version string) bool { return strings.HasSuffix(version, ".preview") }

func accountOf(h http.Header) (string, error) {
	id := h.Get("Stripe-Account")
	if id == "" {
		return platformAccount, nil
	}
	if !accountForm.MatchString(id) {
		e := refused("account_invalid", "", "The provided key does not have access to account '%.80s' (or that account does not exist). Application access may have been revoked.", id)
		e.Status, e.stored = http.StatusForbidden, false
		return "", e
	}
	return id, nil
}
