package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"paywall/internal/config"
)

// TestSecretIsNeverPrinted prints a secret, alone and inside others, in every way there is.
func TestSecretIsNeverPrinted(t *testing.T) {
	const value = "hunter2-hunter2"
	s := config.NewSecret(value)
	holder := struct {
		S config.Secret
		P *config.Secret
		M map[string]config.Secret
		L []config.Secret
	}{s, &s, map[string]config.Secret{"k": s}, []config.Secret{s}}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%U", "%t", "%p"} {
		fmt.Fprintf(&out, verb+"\n"+verb+"\n", s, holder)
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).InfoContext(t.Context(), "started", "secret", s, "holder", holder)
	}
	asJSON, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(asJSON)
	out.Write(asYAML)
	for _, form := range []string{value, fmt.Sprintf("%x", value), fmt.Sprintf("%X", value), "104 117 110 116 101 114"} {
		if strings.Contains(out.String(), form) {
			t.Errorf("%q is in %s", form, out.String())
		}
	}
	if !strings.Contains(out.String(), "redacted") || s.Reveal() != value || s.Empty() || !(config.Secret{}).Empty() {
		t.Error("the secret is not what it was made of")
	}
}

// TestConfigCanBePrinted shows that a whole configuration keeps its secrets.
func TestConfigCanBePrinted(t *testing.T) {
	dir := folder(t)
	cfg, err := config.Parse([]byte(example(t)), dir, exampleEnv)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "%v %+v %#v", cfg, *cfg, *cfg)
	asJSON, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(asJSON)
	for _, secret := range []string{drawn, string(unhex(t, drawn)), environment["WEBHOOK"], environment["UPSTREAM_KEY"], environment["STRIPE_KEY"]} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q is in what is printed", secret)
		}
	}
	if cfg.Keys.Challenge.Reveal() != string(unhex(t, drawn)) {
		t.Error("the challenge key is not the decoded file")
	}
	if got := cfg.Upstreams["api"].Header().Get("X-Api-Key"); got != environment["UPSTREAM_KEY"] {
		t.Error("the upstream's header is not the value of its reference")
	}
}
