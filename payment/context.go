package payment

import "context"

type contextKey struct{}

// NewContext returns a context that carries the payment being served.
func NewContext(ctx context.Context, p Payment) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

// FromContext returns the payment that a request is served under.
func FromContext(ctx context.Context) (p Payment, ok bool) {
	p, ok = ctx.Value(contextKey{}).(Payment)
	return p, ok
}
