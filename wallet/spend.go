package wallet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"paywall/money"
)

// Status is where a spend request is.
type Status string

// Statuses of a spend request.
const (
	StatusCreated   Status = "created"
	StatusPending   Status = "pending_approval"
	StatusApproved  Status = "approved"
	StatusDenied    Status = "denied"
	StatusExpired   Status = "expired"
	StatusCanceled  Status = "canceled"
	StatusSubmitted Status = "submitted"
	StatusSucceeded Status = "succeeded"
	StatusFailed    Status = "failed"
	StatusAction    Status = "requires_action"
)

// SpendRequest is one request to spend from the wallet, as the wallet tells it.
type SpendRequest struct {
	ID     string
	Status Status
	// ApprovalURL is where the owner decides; empty when there is nothing to decide.
	ApprovalURL string
	// Amount is invalid where the wallet left it out.
	Amount    money.Amount
	NetworkID string
	Context   string
	Created   time.Time
	// Action is set when the wallet needs something else first.
	Action *Action
	// Token is the shared payment token, if it was asked for and is there.
	Token Secret
}

// Action is what the wallet's owner has to do.
type Action struct {
	Type, Message, URL string
	// Resolution says how it goes on: "auto_resume" is by itself.
	Resolution string
}

// ActionError carries an [Action] that this request does not survive.
type ActionError struct{ Action Action }

func (e *ActionError) Error() string {
	return chain(ErrAction.Error(), e.Action.Type, e.Action.Message, e.Action.URL)
}

// Unwrap is [ErrAction].
func (*ActionError) Unwrap() error { return ErrAction }

// SpendParams makes a spend request for a shared payment token.
type SpendParams struct {
	// PaymentMethod is the wallet's id of it; empty leaves the choice to the wallet.
	PaymentMethod string
	NetworkID     string
	Amount        money.Amount
	// Context tells the owner why, in at least 100 characters.
	Context string
	// RequestApproval asks the owner at once.
	RequestApproval bool
	Test            bool
}

// CreateSpendRequest files a request. It is not repeated on failure: the worst
// that a lost answer leaves is a request that nobody uses.
func (l *LinkClient) CreateSpendRequest(ctx context.Context, p SpendParams) (SpendRequest, error) {
	in := struct {
		PaymentDetails  string `json:"payment_details,omitempty"`
		CredentialType  string `json:"credential_type"`
		NetworkID       string `json:"network_id"`
		Amount          int64  `json:"amount"`
		Currency        string `json:"currency"`
		Context         string `json:"context"`
		RequestApproval bool   `json:"request_approval"`
		Test            bool   `json:"test,omitempty"`
	}{
		p.PaymentMethod, "shared_payment_token", p.NetworkID, p.Amount.Units(), strings.ToLower(p.Amount.Currency()),
		p.Context, p.RequestApproval, p.Test,
	}
	if scale, known := money.Exponent(p.Amount.Currency()); !known || scale != p.Amount.Scale() || !p.Amount.IsPositive() {
		return SpendRequest{}, fmt.Errorf("spend request: %s is not in minor units", p.Amount)
	}
	var out wireSpend
	if err := l.call(ctx, http.MethodPost, "/spend_requests", in, &out); err != nil {
		return SpendRequest{}, err
	}
	return out.spend()
}

// RequestApproval asks the owner about a request that was only created, and
// returns where to decide.
func (l *LinkClient) RequestApproval(ctx context.Context, id string) (string, error) {
	var out struct {
		Link string `json:"approval_link"`
	}
	path, err := spendPath(id, "/request_approval")
	if err != nil {
		return "", err
	}
	if err := l.call(ctx, http.MethodPost, path, struct{}{}, &out); err != nil {
		return "", err
	}
	return webAddress(out.Link), nil
}

// Retrieve reads a request. withToken includes the shared payment token, which only
// an approved one has.
func (l *LinkClient) Retrieve(ctx context.Context, id string, withToken bool) (SpendRequest, error) {
	query := ""
	if withToken {
		query = "?include=shared_payment_token"
	}
	path, err := spendPath(id, query)
	if err != nil {
		return SpendRequest{}, err
	}
	var out wireSpend
	if err := l.call(ctx, http.MethodGet, path, nil, &out); err != nil {
		return SpendRequest{}, err
	}
	// Some answers with a token have nothing else in them.
	if out.ID == "" && withToken {
		out.ID = id
	}
	s, err := out.spend()
	if err == nil && s.ID != id {
		return SpendRequest{}, errors.New("spend request: the wallet answered with another")
	}
	return s, err
}

// Cancel withdraws a request.
func (l *LinkClient) Cancel(ctx context.Context, id string) (SpendRequest, error) {
	path, err := spendPath(id, "/cancel")
	if err != nil {
		return SpendRequest{}, err
	}
	var out wireSpend
	if err := l.call(ctx, http.MethodPost, path, struct{}{}, &out); err != nil {
		return SpendRequest{}, err
	}
	return out.spend()
}

// List returns the open requests, with history all.
func (l *LinkClient) List(ctx context.Context, history bool) ([]SpendRequest, error) {
	path := "/spend_requests"
	if history {
		path += "?include_history=true"
	}
	var out struct {
		Data []wireSpend `json:"data"`
	}
	if err := l.call(ctx, http.MethodGet, path, nil, &out); err != nil {
		return nil, err
	}
	list := make([]SpendRequest, 0, len(out.Data))
	for i := range out.Data {
		s, err := out.Data[i].spend()
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

func spendPath(id, rest string) (string, error) {
	if !isName(id) {
		return "", errors.New("spend request: not an id of the wallet")
	}
	return "/spend_requests/" + url.PathEscape(id) + rest, nil
}

type wireSpend struct {
	ID          string          `json:"id"`
	Status      string          `json:"status"`
	ApprovalURL string          `json:"approval_url"`
	Amount      *json.Number    `json:"amount"`
	Currency    string          `json:"currency"`
	NetworkID   string          `json:"network_id"`
	Context     string          `json:"context"`
	CreatedAt   json.RawMessage `json:"created_at"`
	Token       json.RawMessage `json:"shared_payment_token"`
	Details     *struct {
		Action *struct {
			FailureCode string `json:"failure_code"`
			Next        *struct {
				Type       string `json:"type"`
				Resolution string `json:"resolution"`
				Message    string `json:"display_message"`
				URL        string `json:"action_url"`
			} `json:"next_action"`
		} `json:"requires_action"`
	} `json:"status_details"`
}

func (w *wireSpend) spend() (SpendRequest, error) {
	if !isName(w.ID) {
		return SpendRequest{}, errors.New("spend request: the wallet's answer has no id")
	}
	s := SpendRequest{
		ID: w.ID, Status: Status(Clean(w.Status, 40)), ApprovalURL: webAddress(w.ApprovalURL),
		NetworkID: Clean(w.NetworkID, 128), Context: Clean(w.Context, maxContext), Created: wireTime(w.CreatedAt),
	}
	if w.Amount != nil && w.Currency != "" {
		units, err := w.Amount.Int64()
		scale, known := money.Exponent(w.Currency)
		if err != nil || !known {
			return SpendRequest{}, fmt.Errorf("spend request %s: its amount cannot be read", s.ID)
		}
		if s.Amount, err = money.New(units, w.Currency, scale); err != nil {
			return SpendRequest{}, fmt.Errorf("spend request %s: %w", s.ID, err)
		}
	}
	if w.Details != nil && w.Details.Action != nil {
		a := Action{Type: Clean(w.Details.Action.FailureCode, 100)}
		if n := w.Details.Action.Next; n != nil {
			a = Action{Clean(n.Type, 100), Clean(n.Message, 300), webAddress(n.URL), Clean(n.Resolution, 100)}
		}
		s.Action = &a
	}
	var err error
	if s.Token, err = sharedToken(w.Token); err != nil {
		return SpendRequest{}, fmt.Errorf("spend request %s: %w", s.ID, err)
	}
	return s, nil
}

// sharedToken reads the token in both of its forms, an object with an id and a
// bare string. Absent and null are no token.
func sharedToken(raw json.RawMessage) (Secret, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return "", nil
	}
	var token string
	if json.Unmarshal(raw, &token) != nil {
		var object struct {
			ID string `json:"id"`
		}
		if json.Unmarshal(raw, &object) != nil {
			return "", errToken
		}
		token = object.ID
	}
	rest, ok := strings.CutPrefix(token, "spt_")
	if !ok || rest == "" || len(token) > 9<<10 || strings.IndexFunc(rest, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
		return "", errToken
	}
	return Secret(token), nil
}

var errToken = errors.New("not a shared payment token")

// wireTime reads RFC 3339 and Unix seconds; zero when it is neither.
func wireTime(raw json.RawMessage) time.Time {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		at, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return time.Time{}
		}
		return at.UTC()
	}
	var seconds int64
	if json.Unmarshal(raw, &seconds) == nil && seconds > 0 && seconds < 1<<40 {
		return time.Unix(seconds, 0).UTC()
	}
	return time.Time{}
}
