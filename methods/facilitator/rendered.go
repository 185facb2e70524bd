package facilitator

import "sync/atomic"

// rendered remembers how the terms last offered were written, so that an offer that
// comes back as it went out need not be read again. Anything else is read as the
// work of a stranger.
type rendered struct {
	held, upfront atomic.Pointer[rendering]
}

// A rendering is terms of this configuration, and what an offer's details say of
// them. It is not changed; the text is a string, so that nobody else can, either.
type rendering struct {
	details string
	terms   terms
}

func (r *rendered) last(hold bool) *atomic.Pointer[rendering] {
	if hold {
		return &r.held
	}
	return &r.upfront
}

// write returns the details of an offer with these terms.
func (r *rendered) write(hold bool, t terms) ([]byte, error) {
	last := r.last(hold)
	if known := last.Load(); known != nil && known.terms == t {
		return []byte(known.details), nil
	}
	details, err := marshal(t)
	if err != nil {
		return nil, err
	}
	last.Store(&rendering{details: string(details), terms: t})
	return details, nil
}

// read returns the terms that were written so, if they are the last ones.
func (r *rendered) read(hold bool, details []byte) (terms, bool) {
	known := r.last(hold).Load()
	if known == nil || known.details != string(details) {
		return terms{}, false
	}
	return known.terms, true
}
