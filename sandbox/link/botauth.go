package link

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

const botSignatureLife = 10 * time.Minute

// botKey signs for Web Bot Auth. It is fresh in every process: the public half
// is in the wallet's directory, where verifiers look for it.
type botKey struct {
	private ed25519.PrivateKey
	x, id   string // public key, and its thumbprint (RFC 8037 appendix A.3)
}

func newBotKey() (*botKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	x := base64.RawURLEncoding.EncodeToString(public)
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + x + `"}`))
	return &botKey{private: private, x: x, id: base64.RawURLEncoding.EncodeToString(sum[:])}, nil
}

// sign signs the authority of a site and where the key is found (RFC 9421), as
// draft-meunier-web-bot-auth-architecture has it.
func (k *botKey) sign(authority, agent string, from, to time.Time, nonce string) (input, signature string) {
	params := fmt.Sprintf(`("@authority" "signature-agent");created=%d;expires=%d;keyid="%s";alg="ed25519";nonce="%s";tag="web-bot-auth"`,
		from.Unix(), to.Unix(), k.id, nonce)
	base := fmt.Sprintf("\"@authority\": %s\n\"signature-agent\": %s\n\"@signature-params\": %s", authority, agent, params)
	signed := ed25519.Sign(k.private, []byte(base))
	return "sig1=" + params, "sig1=:" + base64.StdEncoding.EncodeToString(signed) + ":"
}

func (w *Wallet) apiSign(rw http.ResponseWriter, r *http.Request, _ *connection) error {
	body, err := readBody(r)
	if err != nil {
		return err
	}
	f, err := readFields(body)
	if err != nil {
		return err
	}
	target := f.text("url", maxURL)
	if f.err != nil {
		return f.err
	}
	u, err := url.Parse(target)
	if err != nil || !isWebURL(target) || u.User != nil {
		return invalid("url must be an http or https URL")
	}
	from := w.now().UTC()
	to := from.Add(botSignatureLife)
	authority, agent := lowerHost(u), `"`+w.base+`"`
	input, signature := w.bot.sign(authority, agent, from, to, rand.Text())
	w.answer(rw, r, http.StatusOK, map[string]any{"web_bot_auth": map[string]string{
		"signature": signature, "signature_input": input, "signature_agent": agent, "authority": authority,
		"expires_at": timestamp(to),
	}})
	return nil
}

// serveDirectory publishes the key that apiSign uses.
func (w *Wallet) serveDirectory(rw http.ResponseWriter, r *http.Request) {
	w.answer(rw, r, http.StatusOK, map[string]any{"keys": []map[string]string{
		{"kty": "OKP", "crv": "Ed25519", "kid": w.bot.id, "x": w.bot.x, "use": "sig"},
	}})
}
