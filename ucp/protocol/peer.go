package protocol

// Peer is who calls, and what was negotiated.
type Peer struct {
	// Principal owns what the caller makes: "profile:" and the URL of its profile, or
	// "key:" and the name of its API key.
	Principal string
	// Profile is the URL of the platform's profile.
	Profile string
	Version Version
	// Capabilities are the negotiated names with their versions.
	Capabilities map[string]string
	// Webhook is where the platform wants to hear of orders, or empty.
	Webhook string
	// Authenticated says that a key or a signature has proved the principal.
	Authenticated bool
}

// Has reports whether a capability or extension was negotiated.
func (p Peer) Has(name string) bool { _, ok := p.Capabilities[name]; return ok }
