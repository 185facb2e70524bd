package wallet

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

const maxTokenFile = 64 << 10

// Tokens give access to a person's wallet.
type Tokens struct {
	Access, Refresh Secret
	// Expires is when Access ends; zero when that is not known.
	Expires time.Time
}

// TokenStore keeps the tokens of one login. Implementations are safe for
// concurrent use.
type TokenStore interface {
	// Load returns zero Tokens when there is no login.
	Load(ctx context.Context) (Tokens, error)
	// Save is durable when it returns: the old refresh token may be dead.
	Save(ctx context.Context, t Tokens) error
	Delete(ctx context.Context) error
}

// MemoryTokens is a [TokenStore] for tokens that come from elsewhere, such as
// the environment.
type MemoryTokens struct {
	mu sync.Mutex // guards t
	t  Tokens
}

// NewMemoryTokens starts with t.
func NewMemoryTokens(t Tokens) *MemoryTokens { return &MemoryTokens{t: t} }

// Load implements [TokenStore].
func (m *MemoryTokens) Load(context.Context) (Tokens, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.t, nil
}

// Save implements [TokenStore].
func (m *MemoryTokens) Save(_ context.Context, t Tokens) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.t = t
	return nil
}

// Delete implements [TokenStore].
func (m *MemoryTokens) Delete(ctx context.Context) error { return m.Save(ctx, Tokens{}) }

// FileTokens is a [TokenStore] in a JSON file of mode 0600.
type FileTokens struct{ path string }

// NewFileTokens names the file. It need not exist, its directory must.
func NewFileTokens(path string) *FileTokens { return &FileTokens{path} }

type tokenFile struct {
	Access  string    `json:"access_token"`
	Refresh string    `json:"refresh_token"`
	Expires time.Time `json:"expires_at"`
}

// Load implements [TokenStore].
func (f *FileTokens) Load(context.Context) (Tokens, error) {
	data, err := readPrivate(f.path, maxTokenFile)
	if err != nil || data == nil {
		return Tokens{}, err
	}
	var t tokenFile
	if err := decodeFile(data, &t); err != nil {
		return Tokens{}, fmt.Errorf("tokens in %s: %w", f.path, err)
	}
	return Tokens{Access: Secret(t.Access), Refresh: Secret(t.Refresh), Expires: t.Expires}, nil
}

// Save implements [TokenStore].
func (f *FileTokens) Save(_ context.Context, t Tokens) error {
	data, err := json.Marshal(tokenFile{t.Access.Reveal(), t.Refresh.Reveal(), t.Expires.UTC()}) //nolint:gosec // this is the file they are kept in
	if err != nil {
		return fmt.Errorf("tokens: %w", err)
	}
	return writePrivate(f.path, append(data, '\n'))
}

// Delete implements [TokenStore].
func (f *FileTokens) Delete(context.Context) error { return removePrivate(f.path) }
