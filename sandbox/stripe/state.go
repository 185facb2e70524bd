package stripe

import (
	"cmp"
	"container/heap"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// state is everything a server remembers. Objects are kept until a reset: a
// processor that forgets charges could not be asked what was charged.
type state struct {
	accounts  map[string]*account
	keys      keys
	tasks     tasks
	sequence  int
	cause     cause       // of the events of the running call
	endpoints []*endpoint // of all accounts
	watched   []watchedIntent
}

type cause struct{ requestID, key string }

func newState() *state { return &state{accounts: make(map[string]*account)} }

// An account owns objects. Connected accounts come into being when they are named.
type account struct {
	id        string
	profile   string
	intents   shelf[*intent]
	charges   shelf[*charge]
	refunds   shelf[*refund]
	tokens    shelf[*token]
	cards     shelf[*cardToken]
	products  shelf[*product]
	prices    shelf[*price]
	methods   shelf[*method]
	disputes  shelf[*dispute]
	entries   shelf[*entry]
	customers shelf[*customer]
	events    shelf[*event]
	addresses shelf[*depositAddress]
}

func (st *state) account(id string) *account {
	a := st.accounts[id]
	if a == nil {
		sum := sha256.Sum256([]byte(id))
		a = &account{id: id, profile: "profile_test_" + hex.EncodeToString(sum[:])[:40]}
		st.accounts[id] = a
	}
	return a
}

// sorted lists the accounts by name, so that what walks them is repeatable.
func (st *state) sorted() []*account {
	all := make([]*account, 0, len(st.accounts))
	for _, a := range st.accounts {
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b *account) int { return cmp.Compare(a.id, b.id) })
	return all
}

// kept is what a shelf holds.
type kept interface {
	ident() string
	born() time.Time
}

// A shelf keeps objects of a kind in the order of their creation.
type shelf[T kept] struct {
	byID map[string]T
	list []T
}

func (h *shelf[T]) add(v T) {
	if h.byID == nil {
		h.byID = make(map[string]T)
	}
	h.byID[v.ident()] = v
	h.list = append(h.list, v)
}

func (h *shelf[T]) get(id string) (T, bool) {
	v, ok := h.byID[id]
	return v, ok
}

// trim drops the oldest beyond n.
func (h *shelf[T]) trim(n int) {
	for len(h.list) > n {
		delete(h.byID, h.list[0].ident())
		h.list = h.list[1:]
	}
}

// page is what a list call asked for.
type page struct {
	after, before string
	limit         int
}

// cut returns one page of those that keep accepts, newest first.
func cut[T kept](h *shelf[T], g page, kind string, keep func(T) bool) (found []T, more bool, err error) {
	for _, cursor := range []string{g.after, g.before} {
		if _, ok := h.byID[cursor]; cursor != "" && !ok {
			e := refused("resource_missing", "starting_after", "No such %s: '%.100s'", kind, cursor)
			if cursor == g.before {
				e.Param = "ending_before"
			}
			return nil, false, e
		}
	}
	started := g.after == ""
	for _, v := range slices.Backward(h.list) {
		if g.before != "" && v.ident() == g.before {
			break
		}
		if !started {
			started = v.ident() == g.after
			continue
		}
		if !keep(v) {
			continue
		}
		if g.before == "" && len(found) == g.limit {
			return found, true, nil
		}
		found = append(found, v)
	}
	if g.before != "" && len(found) > g.limit {
		return found[len(found)-g.limit:], true, nil
	}
	return found, false, nil
}

// listOf renders a page.
func listOf[T kept](found []T, more bool, url string, render func(T) object) object {
	data := make([]object, len(found))
	for i, v := range found {
		data[i] = render(v)
	}
	return object{"object": "list", "data": data, "has_more": more, "url": url}
}

// lookUp finds any object of an account by its identifier, rendered; nil if there is none.
func (s *Server) lookUp(a *account, id string) object {
	kind, _, _ := strings.Cut(id, "_")
	switch kind {
	case "pi":
		return rendered(&a.intents, id)
	case "ch":
		return rendered(&a.charges, id)
	case "re":
		return rendered(&a.refunds, id)
	case "pm":
		return rendered(&a.methods, id)
	case "dp":
		return rendered(&a.disputes, id)
	case "txn":
		return rendered(&a.entries, id)
	case "cus":
		return rendered(&a.customers, id)
	}
	return nil
}

func rendered[T interface {
	kept
	render() object
}](h *shelf[T], id string,
) object {
	if v, ok := h.get(id); ok {
		return v.render()
	}
	return nil
}

// A task is work that the processor does later by its clock.
type task struct {
	due      time.Time
	sequence int
	run      func(now time.Time)
}

type tasks []task

func (t tasks) Len() int { return len(t) }
func (t tasks) Less(i, j int) bool {
	return cmp.Or(t[i].due.Compare(t[j].due), cmp.Compare(t[i].sequence, t[j].sequence)) < 0
}
func (t tasks) Swap(i, j int) { t[i], t[j] = t[j], t[i] }

// Push and Pop are for container/heap.
func (t *tasks) Push(x any) {
	*t = append(*t, x.(task))
}

func (t *tasks) Pop() any {
	last := len(*t) - 1
	x := (*t)[last]
	(*t)[last] = task{}
	*t = (*t)[:last]
	return x
}

func (s *Server) later(due time.Time, run func(now time.Time)) {
	s.state.sequence++
	heap.Push(&s.state.tasks, task{due, s.state.sequence, run})
}

// sweep does everything that is due, in order.
func (s *Server) sweep() {
	now := s.now()
	for len(s.state.tasks) > 0 && !now.Before(s.state.tasks[0].due) {
		heap.Pop(&s.state.tasks).(task).run(now)
	}
	s.watch(now)
}

// unix renders a time that may not be set.
func unix(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.Unix()
}

// orNull renders an empty string as null.
func orNull(v string) any {
	if v == "" {
		return nil
	}
	return v
}

func notes(m map[string]string) object {
	o := make(object, len(m))
	for k, v := range m {
		o[k] = v
	}
	return o
}
