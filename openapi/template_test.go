package openapi_test

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"paywall/openapi"
)

// TestParametersOfStars: what has no name in a route gets one in the description,
// and never one that the route has already.
func TestParametersOfStars(t *testing.T) {
	for path, want := range map[string]string{
		"/a/*":                     "/a/{segment2}",
		"/*/{segment1}":            "/{segment1_}/{segment1}",
		"/*.pdf/{segment1_}/*":     "/{segment1}/{segment1_}/{segment3}",
		"/files/**":                "/files/{path}",
		"/{path}/**":               "/{path}/{path_}",
		"/a b/{id}/ü/{rest...}":    "/a%20b/{id}/%C3%BC/{rest}",
		"/{path}/{path_}/x*/**":    "/{path}/{path_}/{segment3}/{path__}",
		"/{segment2}/{segment2_}*": "",
	} {
		docs, err := openapi.Build(openapi.Config{PublicURL: "https://api.example.com", Routes: []openapi.Route{free("GET", path)}})
		if want == "" {
			if err == nil {
				t.Errorf("%s is described", path)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		var doc struct{ Paths map[string]json.RawMessage }
		if err := json.Unmarshal(docs.OpenAPI, &doc); err != nil {
			t.Fatal(err)
		}
		if got := slices.Collect(maps.Keys(doc.Paths)); !slices.Equal(got, []string{want}) {
			t.Errorf("%s is %q, want %s", path, got, want)
		}
	}
}
