package openapi

import (
	"errors"
	"fmt"
	"net/url"
)

// ErrConfig is what [Build] returns for input it cannot describe.
var ErrConfig = errors.New("cannot describe the API")

// Config is a priced API.
type Config struct {
	// PublicURL is the origin that agents reach, "https://api.example.com".
	PublicURL string
	// Title, Version and Description are the API's. Where they are empty and
	// Upstream has its own, that is kept; else they are the host, "1" and nothing.
	Title, Version, Description string
	// Categories are at most five words a directory may list the API under.
	Categories []string
	// Homepage and Reference are absolute URLs for people, or empty.
	Homepage, Reference string
	// Routes in the order they match: the first that covers a request decides.
	Routes []Route
	// Upstream is the API's own OpenAPI 3.0 or 3.1 document in JSON, or nil.
	// Operations that no route covers are left out, for they cannot be reached.
	Upstream []byte
	// Facilitator says that other servers settle through /x402/, Catalogue that
	// /discovery/resources is served.
	Facilitator, Catalogue bool
}

// Route is what is known of one route before a request arrives.
type Route struct {
	// Method is an HTTP method in upper case; empty covers all. GET covers HEAD.
	Method string
	// Path is a template: "{name}" or "*" stand for one segment, a last "**" or
	// "{name...}" for any number.
	Path        string
	Description string
	// Free routes are described without a price and have no offers.
	Free   bool
	Offers []Offer
	// Credit says how a price too small for its methods is sold, such as
	// "sold in packs of 5.00 USD"; empty when it is not.
	Credit string
}

func (c Config) check() (host string, err error) {
	u, err := url.Parse(c.PublicURL)
	if err != nil || !web(u) || c.PublicURL != u.Scheme+"://"+u.Host {
		return "", fmt.Errorf("public URL: want an origin such as https://api.example.com: %w", ErrConfig)
	}
	if len(c.Categories) > 5 {
		return "", fmt.Errorf("categories: more than five: %w", ErrConfig)
	}
	for _, link := range []string{c.Homepage, c.Reference} {
		if l, err := url.Parse(link); link != "" && (err != nil || !web(l)) {
			return "", fmt.Errorf("%q: want an http or https URL: %w", link, ErrConfig)
		}
	}
	for _, r := range c.Routes {
		if err := r.check(); err != nil {
			return "", fmt.Errorf("route %s %s: %w", r.Method, r.Path, err)
		}
	}
	return u.Host, nil
}

func web(u *url.URL) bool { return (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" }

func (r Route) check() error {
	if _, ok := methodKeys[r.Method]; !ok && r.Method != "" {
		return fmt.Errorf("method: %w", ErrConfig)
	}
	if r.Free != (len(r.Offers) == 0) {
		return fmt.Errorf("want either offers or free: %w", ErrConfig)
	}
	for _, o := range r.Offers {
		if err := o.check(); err != nil {
			return err
		}
	}
	return nil
}

// methodKeys are the methods a path item can hold, by HTTP method.
var methodKeys = map[string]string{
	"GET": "get", "HEAD": "head", "POST": "post", "PUT": "put", "PATCH": "patch", "DELETE": "delete", "OPTIONS": "options",
}
