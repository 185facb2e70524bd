package config

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// store checks that the database can be where it is said to be.
func (c *checker) store() {
	engine, name, _ := strings.Cut(c.in.Store, ":")
	switch {
	case engine == "postgres" || engine == "postgresql":
		c.fault("store", "PostgreSQL is not in this version; write sqlite:PATH")
		return
	case engine != "sqlite" || name == "":
		c.fault("store", "%s is not a store; write sqlite:PATH", clip(withoutUser(c.in.Store)))
		return
	case strings.Contains(name, ":memory:") || strings.ContainsAny(name, "?#%"):
		c.fault("store", "is the path of a file, without ? # %% and :memory:, which would forget payments")
		return
	}
	full := c.at(name)
	folder, err := os.Stat(filepath.Dir(full))
	if err != nil || !folder.IsDir() {
		c.fault("store", "there is no folder %s; make it first", shown(filepath.Dir(name)))
		return
	}
	if info, err := os.Stat(full); err == nil && !info.Mode().IsRegular() {
		c.fault("store", "%s is not a plain file", shown(name))
		return
	}
	c.out.Store = Store{Engine: engine, Path: full}
}

const (
	maxTitle       = 200
	maxDescription = 2000
	maxCategories  = 5
	maxCategory    = 40
)

// service checks what documents say about the API.
func (c *checker) service() {
	in := &c.in.Service
	c.out.Service = Service{
		Title: in.Title, Version: in.Version, Description: in.Description, Categories: in.Categories,
		Homepage: in.Homepage, Reference: in.Reference,
	}
	for path, text := range map[string]string{"service.title": in.Title, "service.version": in.Version} {
		if len(text) > maxTitle {
			c.fault(path, "is longer than %d bytes", maxTitle)
		}
	}
	if len(in.Description) > maxDescription {
		c.fault("service.description", "is longer than %d bytes", maxDescription)
	}
	if len(in.Categories) > maxCategories {
		c.fault("service.categories", "there are at most %d", maxCategories)
	}
	for i, word := range in.Categories {
		if len(word) > maxCategory || !printable(word) {
			c.fault(item("service.categories", i), "is a word of at most %d ASCII characters", maxCategory)
		}
	}
	for path, text := range map[string]string{"service.homepage": in.Homepage, "service.reference": in.Reference} {
		if text != "" {
			c.webURL(path, text)
		}
	}
}

// observing checks logs and traces.
func (c *checker) observing() {
	c.out.Log.Format = c.in.Log.Format
	c.out.Log.Level = map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}[c.in.Log.Level]
	in := c.in.Traces
	if in.Endpoint == "" {
		if in.Insecure {
			c.fault("traces.insecure", "has no meaning without endpoint")
		}
		return
	}
	u, ok := c.webURL("traces.endpoint", in.Endpoint)
	if !ok {
		return
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) && !in.Insecure {
		c.fault("traces.endpoint", "is plain HTTP beyond loopback; write https://, or say traces.insecure: true")
	}
	c.out.Traces = Traces{Endpoint: u.String(), Insecure: in.Insecure || u.Scheme == "http"}
}
