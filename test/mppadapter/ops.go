package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"
	"unicode/utf8"

	"paywall/mpp"
)

type fault struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}

type response struct {
	OK    bool   `json:"ok"`
	Value any    `json:"value,omitempty"`
	Error *fault `json:"error,omitempty"`
}

// object is the suite's decoded challenge.
type object struct {
	ID          string          `json:"id,omitempty"`
	Realm       string          `json:"realm"`
	Method      string          `json:"method"`
	Intent      string          `json:"intent"`
	Request     json.RawMessage `json:"request"`
	Description string          `json:"description,omitempty"`
	Digest      string          `json:"digest,omitempty"`
	Expires     string          `json:"expires,omitempty"`
	Header      string          `json:"header,omitempty"`
	Opaque      string          `json:"opaque,omitempty"`
}

func (o object) challenge() (mpp.Challenge, error) {
	r, err := mpp.EncodeRequest(o.Request)
	return mpp.Challenge{
		ID: o.ID, Realm: o.Realm, Method: o.Method, Intent: o.Intent, Request: r, Description: o.Description,
		Digest: o.Digest, Expires: o.Expires, Header: o.Header, Opaque: o.Opaque,
	}, err
}

func decoded(c mpp.Challenge) (object, error) {
	r, err := c.RequestObject()
	return object{c.ID, c.Realm, c.Method, c.Intent, r, c.Description, c.Digest, c.Expires, c.Header, c.Opaque}, err
}

type credential struct {
	Challenge object          `json:"challenge"`
	Payload   json.RawMessage `json:"payload"`
	Source    string          `json:"source,omitempty"`
}

func answer(in []byte, now time.Time) response {
	var q struct {
		Op    string          `json:"op"`
		Input json.RawMessage `json:"input"`
	}
	if err := json.Unmarshal(in, &q); err != nil {
		return response{Error: &fault{"parse_error", err.Error()}}
	}
	v, kind, err := do(q.Op, q.Input, now)
	if err != nil {
		return response{Error: &fault{kind, err.Error()}}
	}
	return response{OK: true, Value: v}
}

func do(op string, in json.RawMessage, now time.Time) (any, string, error) {
	var s string
	switch op {
	case "challenge.parse", "credential.parse", "base64url.encode", "base64url.decode":
		if err := json.Unmarshal(in, &s); err != nil {
			return nil, "parse_error", err
		}
	}
	switch op {
	case "challenge.parse":
		cs, err := mpp.ParseChallenges(http.Header{"Www-Authenticate": {s}})
		if err != nil {
			return nil, "parse_error", err
		}
		o, err := decoded(cs[0])
		return o, "parse_error", err
	case "challenge.format":
		var o object
		if err := json.Unmarshal(in, &o); err != nil {
			return nil, "format_error", err
		}
		c, err := o.challenge()
		if err != nil {
			return nil, "format_error", err
		}
		v, err := c.Format()
		return v, "format_error", err
	case "credential.parse":
		c, err := mpp.ParseCredential(s)
		if err != nil {
			return nil, "parse_error", err
		}
		o, err := decoded(c.Challenge)
		return credential{o, c.Payload, c.Source}, "parse_error", err
	case "credential.format":
		var q credential
		if err := json.Unmarshal(in, &q); err != nil {
			return nil, "format_error", err
		}
		c, err := q.Challenge.challenge()
		if err != nil {
			return nil, "format_error", err
		}
		v, err := mpp.Credential{Challenge: c, Payload: q.Payload, Source: q.Source}.Format()
		return v, "format_error", err
	case "base64url.encode":
		return mpp.EncodeBase64([]byte(s)), "", nil
	case "base64url.decode":
		b, err := mpp.DecodeBase64(s)
		if err == nil && !utf8.Valid(b) {
			err = mpp.ErrEncoding
		}
		return string(b), "encoding_error", err
	case "challenge.id":
		var q struct {
			object
			SecretKey string `json:"secretKey"`
		}
		if err := json.Unmarshal(in, &q); err != nil {
			return nil, "generation_error", err
		}
		c, err := q.challenge()
		if err != nil {
			return nil, "generation_error", err
		}
		id, err := mpp.IssueID([]byte(q.SecretKey), c)
		return id, "generation_error", err
	case "server.verify":
		return verify(in, now)
	}
	return nil, "unsupported_operation", errors.New("unsupported: " + op)
}

// verify checks an echo against a route.
func verify(in json.RawMessage, now time.Time) (any, string, error) {
	var q struct {
		object
		SecretKey         string          `json:"secretKey"`
		VerificationError json.RawMessage `json:"verificationError"`
		Credential        credential      `json:"credential"`
	}
	if err := json.Unmarshal(in, &q); err != nil {
		return nil, "parse_error", err
	}
	route, err := q.challenge()
	if err != nil {
		return nil, "parse_error", err
	}
	c, err := q.Credential.Challenge.challenge()
	route.ID = c.ID
	if err != nil || c != route || !mpp.VerifyID([]byte(q.SecretKey), c) {
		return nil, "invalid_challenge", errors.New("not this route's challenge")
	}
	expires, err := time.Parse(time.RFC3339, c.Expires)
	if err != nil {
		return nil, "invalid_challenge", err
	}
	if !now.Before(expires) {
		return nil, "payment_expired", errors.New("expired")
	}
	if len(q.VerificationError) > 0 {
		return nil, "verification_failed", errors.New("method refused")
	}
	return map[string]string{
		"status": "success", "method": c.Method,
		"reference": "conformance-receipt", "timestamp": "2026-01-29T12:00:00Z",
	}, "", nil
}
