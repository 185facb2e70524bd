package stripe_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"paywall/methods/stripe"
	"paywall/payment"
)

func clock() time.Time { return began }

func isNotOffered(err error) bool { return errors.Is(err, payment.ErrNotOffered) }

func TestConfigIsChecked(t *testing.T) {
	for _, tt := range []struct {
		name, field string // field is empty when it is accepted
		cfg         stripe.Config
	}{
		{name: "test", cfg: stripe.Config{Key: testKey, Profile: "profile_test_1"}},
		{name: "restricted", cfg: stripe.Config{Key: "rk_test_1", Profile: "internal"}},
		{name: "live", cfg: stripe.Config{Key: "rk_live_1", Live: true, Profile: "profile_1"}},
		{name: "live, base spelt out", cfg: stripe.Config{Key: "sk_live_1", Live: true, Profile: "profile_1", BaseURL: "https://api.stripe.com/"}},
		{name: "a stand-in on loopback", cfg: stripe.Config{Key: testKey, Profile: "internal", BaseURL: "http://127.0.0.1:12111"}},
		{name: "a stand-in on v6 loopback", cfg: stripe.Config{Key: testKey, Profile: "internal", BaseURL: "http://[::1]:12111/"}},
		{name: "a stand-in elsewhere", cfg: stripe.Config{Key: testKey, Profile: "internal", BaseURL: "https://sandbox.example"}},
		{name: "an old version", cfg: stripe.Config{Key: testKey, Profile: "internal", APIVersion: "2025-08-27.basil"}},

		{name: "no key", field: "Key", cfg: stripe.Config{Profile: "internal"}},
		{name: "publishable key", field: "Key", cfg: stripe.Config{Key: "pk_test_1", Profile: "internal"}},
		{name: "prefix alone", field: "Key", cfg: stripe.Config{Key: "sk_test_", Profile: "internal"}},
		{name: "newline in the key", field: "Key", cfg: stripe.Config{Key: "sk_test_1\n", Profile: "internal"}},
		{name: "live key not meant", field: "Live", cfg: stripe.Config{Key: "sk_live_1", Profile: "profile_1"}},
		{name: "test key, live meant", field: "Live", cfg: stripe.Config{Key: testKey, Live: true, Profile: "profile_1"}},
		{name: "live key to a stand-in", field: "BaseURL", cfg: stripe.Config{Key: "sk_live_1", Live: true, Profile: "profile_1", BaseURL: "http://127.0.0.1:1"}},
		{name: "live key to a look-alike", field: "BaseURL", cfg: stripe.Config{Key: "sk_live_1", Live: true, Profile: "profile_1", BaseURL: "https://api.stripe.com.evil.example"}},
		{name: "live restricted key to a port", field: "BaseURL", cfg: stripe.Config{Key: "rk_live_1", Live: true, Profile: "profile_1", BaseURL: "https://api.stripe.com:8443"}},
		{name: "plain http", field: "BaseURL", cfg: stripe.Config{Key: testKey, Profile: "internal", BaseURL: "http://10.0.0.1"}},
		{name: "another scheme", field: "BaseURL", cfg: stripe.Config{Key: testKey, Profile: "internal", BaseURL: "ftp://127.0.0.1"}},
		{name: "a path", field: "BaseURL", cfg: stripe.Config{Key: testKey, Profile: "internal", BaseURL: "https://host.example/v1"}},
		{name: "a password", field: "BaseURL", cfg: stripe.Config{Key: testKey, Profile: "internal", BaseURL: "https://u:sk_test_pw@host.example"}},
		{name: "no URL", field: "BaseURL", cfg: stripe.Config{Key: testKey, Profile: "internal", BaseURL: "http://sk_test_x y"}},
		{name: "no profile", field: "Profile", cfg: stripe.Config{Key: testKey}},
		{name: "another id", field: "Profile", cfg: stripe.Config{Key: testKey, Profile: "acct_1"}},
		{name: "test profile for real", field: "Profile", cfg: stripe.Config{Key: "sk_live_1", Live: true, Profile: "profile_test_1"}},
		{name: "internal for real", field: "Profile", cfg: stripe.Config{Key: "sk_live_1", Live: true, Profile: "internal"}},
		{name: "types", field: "PaymentMethodTypes", cfg: stripe.Config{Key: testKey, Profile: "internal", PaymentMethodTypes: []string{"Card"}}},
		{name: "version", field: "APIVersion", cfg: stripe.Config{Key: testKey, Profile: "internal", APIVersion: "latest"}},
		{name: "parameter", field: "SPTParam", cfg: stripe.Config{Key: testKey, Profile: "internal", SPTParam: "payment_method"}},
		{name: "account", field: "Account", cfg: stripe.Config{Key: testKey, Profile: "internal", Account: "shop"}},
		{name: "suffix", field: "StatementSuffix", cfg: stripe.Config{Key: testKey, Profile: "internal", StatementSuffix: "*"}},
		{name: "metadata", field: "Metadata", cfg: stripe.Config{Key: testKey, Profile: "internal", Metadata: map[string]string{"a": ""}}},
		{name: "metadata name", field: "Metadata", cfg: stripe.Config{Key: testKey, Profile: "internal", Metadata: map[string]string{strings.Repeat("a", 41): "x"}}},
		{name: "webhook secret", field: "WebhookSecrets", cfg: stripe.Config{Key: testKey, Profile: "internal", WebhookSecrets: []stripe.Secret{"secret"}}},
		{name: "in flight", field: "MaxInFlight", cfg: stripe.Config{Key: testKey, Profile: "internal", MaxInFlight: -1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := stripe.New(tt.cfg)
			switch {
			case tt.field == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.field != "" && (err == nil || !strings.Contains(err.Error(), "Config."+tt.field+":")):
				t.Errorf("err = %v, want one that names %s", err, tt.field)
			case err != nil && (strings.Contains(err.Error(), "sk_test_1") || strings.Contains(err.Error(), "sk_test_pw") || strings.Contains(err.Error(), "sk_test_x")):
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestKeysDoNotShow(t *testing.T) {
	key := stripe.Secret("sk_test_Hidden")
	cfg := stripe.Config{Key: key, Profile: "internal", WebhookSecrets: []stripe.Secret{"whsec_Hidden"}}
	m, err := stripe.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, v := range []any{key, &key, cfg, &cfg, m, []any{m}, struct{ M *stripe.Method }{m}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t"} {
			fmt.Fprintf(&b, verb, v)
		}
		for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
			slog.New(h).InfoContext(t.Context(), "shown", "value", v)
		}
	}
	for _, v := range []any{key, cfg.WebhookSecrets, map[string]any{"key": &key}} {
		if err := json.NewEncoder(&b).Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	b.WriteString(key.String() + key.GoString())
	if s := b.String(); strings.Contains(s, "Hidden") || strings.Contains(s, fmt.Sprintf("%x", "Hidden")) {
		t.Errorf("a key shows in %s", s)
	}
}
