package telemetry

import (
	"context"
	"io"
	"log/slog"
)

// Options of a logger.
type Options struct {
	// Format is "text" or "json"; anything else is JSON.
	Format string
	// Level is the least that is written; nil is Info.
	Level slog.Leveler
}

// NewLogger writes events to w, one line each, with all that [Redact] does.
func NewLogger(w io.Writer, o Options) *slog.Logger {
	ho := &slog.HandlerOptions{Level: o.Level}
	if o.Format == "text" {
		return slog.New(Redact(slog.NewTextHandler(w, ho)))
	}
	return slog.New(Redact(slog.NewJSONHandler(w, ho)))
}

// Redact is the one sink that every event goes through. Text becomes at most
// 512 bytes of printable characters as the handler writes it, and is searched
// for secrets: a value that begins like one is replaced whole, elsewhere the
// secret is. Attributes with names like "token" have no value at all. Values
// that are no numbers, texts or times become the text of their JSON.
//
// It is the net, not the trapeze: credentials have types that redact themselves.
func Redact(h slog.Handler) slog.Handler { return &redactor{next: h} }

type redactor struct {
	next slog.Handler
	// hidden says that an open group has the name of a secret.
	hidden bool
}

func (r *redactor) Enabled(ctx context.Context, l slog.Level) bool { return r.next.Enabled(ctx, l) }

func (r *redactor) Handle(ctx context.Context, in slog.Record) error {
	out := slog.NewRecord(in.Time, in.Level, cleanMessage(in.Message), in.PC)
	in.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(r.clean(a))
		return true
	})
	return r.next.Handle(ctx, out)
}

func (r *redactor) WithAttrs(attrs []slog.Attr) slog.Handler {
	cleaned := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		cleaned[i] = r.clean(a)
	}
	return &redactor{next: r.next.WithAttrs(cleaned), hidden: r.hidden}
}

func (r *redactor) WithGroup(name string) slog.Handler {
	return &redactor{next: r.next.WithGroup(name), hidden: r.hidden || secretName(name)}
}

func (r *redactor) clean(a slog.Attr) slog.Attr { return cleanAttr(a, r.hidden, 0) }

// maxGroups bounds how deep groups go: a value may say that it consists of itself.
const maxGroups = 8

func cleanAttr(a slog.Attr, hidden bool, depth int) slog.Attr {
	v := a.Value.Resolve()
	hidden = hidden || secretName(a.Key)
	a.Key = printable(a.Key, maxText)
	switch {
	case v.Kind() == slog.KindGroup && depth == maxGroups:
		a.Value = slog.StringValue(redacted)
	case v.Kind() == slog.KindGroup:
		members := v.Group()
		cleaned := make([]slog.Attr, len(members))
		for i, m := range members {
			cleaned[i] = cleanAttr(m, hidden, depth+1)
		}
		a.Value = slog.GroupValue(cleaned...)
	case hidden:
		a.Value = slog.StringValue(redacted)
	case v.Kind() == slog.KindString:
		a.Value = slog.StringValue(cleanText(v.String()))
	case v.Kind() == slog.KindAny:
		a.Value = cleanAny(v.Any())
	default:
		a.Value = v
	}
	return a
}
