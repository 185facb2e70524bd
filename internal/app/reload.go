package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"reflect"
	"strings"
	"time"

	"paywall/internal/config"
)

// reload reads the configuration again. A file with faults changes nothing.
func (s *server) reload(ctx context.Context) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	cfg, err := config.Load(s.file, s.getenv)
	if err != nil {
		return err //nolint:wrapcheck // it names file and line
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if held := s.needsRestart(cfg); len(held) > 0 {
		s.env.logger.WarnContext(ctx, "these settings take effect after a restart", "settings", strings.Join(held, ", "))
	}
	// Challenges and receipts go on naming the origin of the start, and so must
	// everything else that is said about it.
	cfg.PublicURL, cfg.Realm, cfg.Hosts = s.cfg.PublicURL, s.cfg.Realm, s.cfg.Hosts
	ps, err := assemble(cfg, s.env.hooks)
	if err != nil {
		return err
	}
	// Those of the start go on taking the money, and know where it goes.
	ps.rails = s.parts.rails
	snap, err := s.snapshot(ctx, ps)
	if err != nil {
		return err
	}
	if s.cfg.TLS != nil && cfg.TLS != nil && cfg.TLS.Autocert == nil {
		if err := s.readCertificate(cfg.TLS); err != nil {
			return err
		}
	}
	s.parts.ring.Replace(ps.ring)
	s.current.Store(snap)
	if s.shop != nil {
		return s.shop.reload(ctx, ps)
	}
	return nil
}

// fixedShop is what a reload leaves as it was: all but the catalog and the keys.
func fixedShop(c *config.Shop) *config.Shop {
	if c == nil {
		return nil
	}
	fixed := *c
	fixed.Catalog, fixed.Settings, fixed.Currency, fixed.Keys = "", "", "", ""
	return &fixed
}

// readCertificate takes the files' certificate for the handshakes from now on.
func (s *server) readCertificate(t *config.TLS) error {
	cert, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	s.cert.Store(&cert)
	return nil
}

// needsRestart names what a reload leaves as it was.
func (s *server) needsRestart(next *config.Config) []string {
	var held []string
	was := s.cfg
	for _, f := range []struct {
		name      string
		was, next any
	}{
		{"listen", was.Listen, next.Listen},
		{"public_url", was.PublicURL, next.PublicURL},
		{"hosts", was.Hosts, next.Hosts},
		{"insecure_http", was.InsecureHTTP, next.InsecureHTTP},
		{"trusted_proxies", was.TrustedProxies, next.TrustedProxies},
		{"store", was.Store, next.Store},
		{"admin", was.Admin, next.Admin},
		{"tls", was.TLS, next.TLS},
		{"paths", was.FoldSlashes, next.FoldSlashes},
		{"keys.challenge", was.Keys.Challenge, next.Keys.Challenge},
		{"keys.previous", was.Keys.Previous, next.Keys.Previous},
		{"keys.seal", was.Keys.Seal, next.Keys.Seal},
		{"methods", was.Methods, next.Methods},
		{"challenge", was.Challenge, next.Challenge},
		{"x402", was.X402, next.X402},
		{"receipts.ttl", was.ReceiptTTL, next.ReceiptTTL},
		{"settlement", was.Settlement, next.Settlement},
		{"limits", was.Limits, next.Limits},
		{"log", was.Log, next.Log},
		{"traces", was.Traces, next.Traces},
		{"shop", fixedShop(was.Shop), fixedShop(next.Shop)},
	} {
		if !reflect.DeepEqual(f.was, f.next) {
			held = append(held, f.name)
		}
	}
	return held
}
