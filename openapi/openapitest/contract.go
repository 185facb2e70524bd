package openapitest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"paywall/openapi"
)

// contract is the loaded description. It is only read, so requests may share it.
type contract struct {
	doc      *openapi3.T
	router   routers.Router
	problems map[string]problem
}

// problem is a row of x-problems.
type problem struct {
	Status int `json:"status"`
	// X402 are other statuses that a payment of x402 may have for it.
	X402       []int `json:"x402"`
	Challenges bool  `json:"challenges"`
}

// once loads the contract for all wrapped handlers of a test binary: it takes
// longer than many a test.
var once = sync.OnceValues(load)

func load() (*contract, error) {
	var extension struct {
		Problems map[string]problem `json:"x-problems"`
	}
	if err := json.Unmarshal(openapi.Own(), &extension); err != nil {
		return nil, fmt.Errorf("read the table of problems: %w", err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(openapi.Own())
	if err != nil {
		return nil, fmt.Errorf("load the description: %w", err)
	}
	// Tests listen where they like: paths are compared, hosts are not.
	doc.Servers = nil
	for _, item := range doc.Paths.Map() {
		item.Servers = nil
	}
	for _, kind := range []string{"text/html", "text/markdown"} { // pages are texts
		openapi3filter.RegisterBodyDecoder(kind, openapi3filter.RegisteredBodyDecoder("text/plain"))
	}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		return nil, fmt.Errorf("the description is not valid: %w", err)
	}
	return &contract{doc: doc, router: router, problems: extension.Problems}, nil
}

// find returns the operation that a request is for. HEAD is described by GET.
// An undescribed method of a described path is found with the methods of the
// path; a path that is not described is not ours, and nothing is found.
func (c *contract) find(r *http.Request) (input *openapi3filter.RequestValidationInput, others []string) {
	at := r.Clone(r.Context())
	if at.Method == http.MethodHead {
		at.Method = http.MethodGet
	}
	route, params, err := c.router.FindRoute(at)
	if err == nil {
		return &openapi3filter.RequestValidationInput{
			Request: r, PathParams: params, Route: route,
			Options: &openapi3filter.Options{IncludeResponseStatus: true, SkipSettingDefaults: true, AuthenticationFunc: presented},
		}, nil
	}
	for _, method := range []string{"DELETE", "GET", "PATCH", "POST", "PUT"} {
		at.Method = method
		if _, _, err := c.router.FindRoute(at); err == nil {
			others = append(others, method)
		}
	}
	return nil, others
}

// presented is satisfied by anything of the scheme's form: whether it is good
// is the handler's to say.
func presented(_ context.Context, in *openapi3filter.AuthenticationInput) error {
	h := in.RequestValidationInput.Request.Header
	if in.SecurityScheme.Type == "apiKey" {
		if h.Get(in.SecurityScheme.Name) != "" {
			return nil
		}
		return errors.New(in.SecurityScheme.Name + " is not there")
	}
	for _, line := range append(h.Values("Authorization"), h.Values("Payment-Authorization")...) {
		if scheme, token, _ := strings.Cut(line, " "); token != "" && strings.EqualFold(scheme, in.SecurityScheme.Scheme) {
			return nil
		}
	}
	return errors.New("no credential of the scheme " + in.SecurityScheme.Scheme)
}

// response checks an answer against the responses of the operation.
func (c *contract) response(ctx context.Context, in *openapi3filter.RequestValidationInput, status int, h http.Header, body []byte) error {
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: status, Header: h, Options: in.Options}
	out.SetBodyBytes(body)
	// The library looks neither at HEAD nor at redirections.
	if in.Route.Operation.Responses.Status(status) == nil {
		return fmt.Errorf("status %d is not described", status)
	}
	if status == http.StatusNotModified && len(body) > 0 {
		return errors.New("status 304 with a body")
	}
	if err := openapi3filter.ValidateResponse(ctx, out); err != nil {
		return fmt.Errorf("status %d: %w", status, err)
	}
	return nil
}
