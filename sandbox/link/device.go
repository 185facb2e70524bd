package link

import (
	"crypto/rand"
	"math/big"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	grantDevice  = "urn:ietf:params:oauth:grant-type:device_code"
	grantRefresh = "refresh_token"

	deviceLife     = 10 * time.Minute
	deviceInterval = 5 * time.Second
	maxDevices     = 200 // logins under way at once

	// userCodeLetters have no vowels, so that a code spells nothing, and nothing
	// that looks like a digit (RFC 8628 section 6.1).
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
)

// device is one login under way (RFC 8628).
type device struct {
	code, userCode string
	client, label  string
	scopes         []string
	actions        []string
	expires        time.Time
	interval       time.Duration
	polled         time.Time
	state          Status // PendingApproval, Approved or Denied
}

func (w *Wallet) routeDevice(mux *http.ServeMux) {
	mux.HandleFunc("POST /device/code", w.form(w.deviceCode))
	mux.HandleFunc("POST /device/token", w.form(w.deviceToken))
	mux.HandleFunc("POST /device/revoke", w.form(w.deviceRevoke))
}

type oauthError struct {
	Code        string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

// form answers an OAuth call: a body, or the error the handler names.
func (w *Wallet) form(h func(form url.Values, now time.Time) (any, *oauthError)) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(rw, r.Body, maxBody)
		if err := r.ParseForm(); err != nil {
			w.answer(rw, r, http.StatusBadRequest, oauthError{"invalid_request", "The body is not a form"})
			return
		}
		// A parameter that is given twice could be read in two ways (RFC 6749 3.1);
		// the lists in authorization_details are meant to repeat.
		for name, values := range r.PostForm {
			if len(values) > 1 && !strings.HasPrefix(name, "authorization_details") {
				w.answer(rw, r, http.StatusBadRequest, oauthError{"invalid_request", "A parameter is repeated"})
				return
			}
		}
		if id := r.PostForm.Get("client_id"); id == "" || len(id) > maxText {
			w.answer(rw, r, http.StatusBadRequest, oauthError{"invalid_client", "client_id is required"})
			return
		}
		body, fault := h(r.PostForm, w.now().UTC())
		if fault != nil {
			w.answer(rw, r, http.StatusBadRequest, fault)
			return
		}
		w.answer(rw, r, http.StatusOK, body)
	}
}

type wireDevice struct {
	DeviceCode              string `json:"device_code"`
	UserCode                string `json:"user_code"`
	VerificationURI         string `json:"verification_uri"`
	VerificationURIComplete string `json:"verification_uri_complete"`
	ExpiresIn               int64  `json:"expires_in"`
	Interval                int64  `json:"interval"`
}

func (w *Wallet) deviceCode(form url.Values, now time.Time) (any, *oauthError) {
	asked := strings.Fields(orElse(form.Get("scope"), scopeUserinfo+" "+scopePay))
	for _, s := range asked {
		if !slices.Contains(scopes, s) {
			return nil, &oauthError{"invalid_scope", "The sandbox wallet knows the scopes " + strings.Join(scopes, ", ")}
		}
	}
	actions, ok := parseDetails(form)
	if !ok {
		return nil, &oauthError{"invalid_authorization_details", "Only the type source with its read actions can be granted"}
	}
	userCode, err := newUserCode()
	if err != nil {
		return nil, &oauthError{Code: "server_error"}
	}
	d := &device{
		code: w.id("lwdc"), userCode: userCode, client: form.Get("client_id"),
		label:  line(orElse(form.Get("connection_label"), form.Get("client_hint")), 120),
		scopes: slices.Compact(slices.Sorted(slices.Values(asked))), actions: actions,
		expires: now.Add(deviceLife), interval: deviceInterval, state: PendingApproval,
	}
	if d.label == "" {
		d.label = "Unnamed agent"
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	// A dead code is kept as long again, to be answered with expired_token.
	w.devices = slices.DeleteFunc(w.devices, func(old *device) bool { return now.After(old.expires.Add(deviceLife)) })
	if len(w.devices) >= maxDevices {
		return nil, &oauthError{"temporarily_unavailable", "Too many logins are under way"}
	}
	w.devices = append(w.devices, d)
	return wireDevice{
		DeviceCode: d.code, UserCode: d.userCode, VerificationURI: w.base + "/device",
		VerificationURIComplete: w.base + "/device?user_code=" + d.userCode,
		ExpiresIn:               int64(deviceLife / time.Second), Interval: int64(deviceInterval / time.Second),
	}, nil
}

func newUserCode() (string, error) {
	var b strings.Builder
	for i := range 8 {
		if i == 4 {
			b.WriteByte('-')
		}
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(userCodeLetters))))
		if err != nil {
			return "", err
		}
		b.WriteByte(userCodeLetters[n.Int64()])
	}
	return b.String(), nil
}

// readUserCode forgives what people do when they type a code.
func readUserCode(s string) string {
	letters := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			r -= 'a' - 'A'
		}
		if r < 'A' || r > 'Z' {
			return -1
		}
		return r
	}, s)
	if len(letters) != 8 {
		return ""
	}
	return letters[:4] + "-" + letters[4:]
}

var (
	detailType   = regexp.MustCompile(`^authorization_details\[\d*\]\[type\]$`)
	detailAction = regexp.MustCompile(`^authorization_details\[\d*\]\[actions\]\[\d*\]$`)
)

// parseDetails reads the source actions out of authorization_details, which
// link-cli writes as authorization_details[][actions][]. False is a type, an
// action or a member that cannot be granted.
func parseDetails(form url.Values) ([]string, bool) {
	var actions []string
	types := 0
	for name, values := range form {
		if !strings.HasPrefix(name, "authorization_details") {
			continue
		}
		for _, v := range values {
			switch {
			case detailType.MatchString(name) && v == "source":
				types++
			case detailAction.MatchString(name) && slices.Contains(sourceActions, v):
				actions = append(actions, v)
			default:
				return nil, false
			}
		}
	}
	slices.Sort(actions)
	return slices.Compact(actions), (types > 0) == (len(actions) > 0)
}

type wireDetail struct {
	Type    string   `json:"type"`
	Actions []string `json:"actions"`
}

type wireToken struct {
	AccessToken  string       `json:"access_token"`
	RefreshToken string       `json:"refresh_token"`
	TokenType    string       `json:"token_type"`
	ExpiresIn    int64        `json:"expires_in"`
	Scope        string       `json:"scope"`
	Details      []wireDetail `json:"authorization_details,omitempty"`
}

func (w *Wallet) deviceToken(form url.Values, now time.Time) (any, *oauthError) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch form.Get("grant_type") {
	case grantDevice:
		return w.redeem(form.Get("device_code"), form.Get("client_id"), now)
	case grantRefresh:
		token, client := form.Get("refresh_token"), form.Get("client_id")
		for _, c := range w.connections {
			if token != "" && c.refresh == token && c.client == client {
				return w.grant(c, now), nil
			}
		}
		return nil, &oauthError{"invalid_grant", "The refresh token is unknown or was revoked"}
	}
	return nil, &oauthError{Code: "unsupported_grant_type"}
}

// redeem answers one poll (RFC 8628 section 3.5). Callers hold mu.
func (w *Wallet) redeem(code, client string, now time.Time) (any, *oauthError) {
	i := slices.IndexFunc(w.devices, func(d *device) bool { return code != "" && d.code == code && d.client == client })
	if i < 0 {
		return nil, &oauthError{"invalid_grant", "The device code is unknown or was used"}
	}
	d := w.devices[i]
	early := !d.polled.IsZero() && now.Before(d.polled.Add(d.interval))
	d.polled = now
	switch {
	case !now.Before(d.expires):
		return nil, &oauthError{"expired_token", "The device code has expired"}
	case d.state == Denied:
		return nil, &oauthError{"access_denied", "The connection was denied"}
	case d.state == Approved:
		// Even a hasty client gets its tokens: link-cli keeps the pace it was told
		// on its command line and would otherwise be put off for ever.
		w.devices = slices.Delete(w.devices, i, i+1)
		c := &connection{
			id: w.id("lwcon"), label: d.label, client: d.client, scopes: d.scopes, actions: d.actions,
			refresh: w.id("lwrt"), since: now,
		}
		w.connections = append(w.connections, c)
		return w.grant(c, now), nil
	case early:
		d.interval += deviceInterval
		return nil, &oauthError{"slow_down", "Polled faster than the interval"}
	}
	return nil, &oauthError{Code: "authorization_pending"}
}

// grant renders fresh tokens. The refresh token stays the same, so that a lost
// answer or LINK_REFRESH_TOKEN in several shells locks nobody out. Callers hold
// mu.
func (w *Wallet) grant(c *connection, now time.Time) wireToken {
	t := wireToken{
		AccessToken: w.issue(c, now), RefreshToken: c.refresh, TokenType: "Bearer",
		ExpiresIn: int64(accessLife / time.Second), Scope: strings.Join(c.scopes, " "),
	}
	if len(c.actions) > 0 {
		t.Details = []wireDetail{{Type: "source", Actions: c.actions}}
	}
	return t
}

// deviceRevoke ends the connection of either token. An unknown one is no error
// (RFC 7009 section 2.2).
func (w *Wallet) deviceRevoke(form url.Values, _ time.Time) (any, *oauthError) {
	token := form.Get("token")
	if token == "" {
		return nil, &oauthError{"invalid_request", "token is required"}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	conn := w.access[token].conn
	w.disconnect(func(c *connection) bool { return c == conn || c.refresh == token })
	return struct{}{}, nil
}

// decideDevice lets the agent behind a user code in, or not, and reports
// whether the code was waiting.
func (w *Wallet) decideDevice(userCode string, allow bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.waitingDevice(userCode)
	if d == nil {
		return false
	}
	d.state = Denied
	if allow {
		d.state = Approved
	}
	return true
}

// waitingDevice finds a login to decide. Callers hold mu.
func (w *Wallet) waitingDevice(userCode string) *device {
	now := w.now()
	for _, d := range w.devices {
		if userCode != "" && d.userCode == userCode && d.state == PendingApproval && now.Before(d.expires) {
			return d
		}
	}
	return nil
}
