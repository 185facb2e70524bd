package mpp_test

import (
	"testing"

	"paywall/mpp"
)

func TestBindingVectors(t *testing.T) {
	const r1 = "eyJhbW91bnQiOiIxMDAiLCJjdXJyZW5jeSI6InVzZCIsIm1ldGhvZERldGFpbHMiOnsibmV0d29ya0lkIjoicHJvZmlsZV90ZXN0XzYxTGFiIiwicGF5bWVudE1ldGhvZFR5cGVzIjpbImNhcmQiLCJsaW5rIl19fQ"
	for _, tt := range []struct {
		name, id string
		c        mpp.Challenge
	}{
		{"V1", "j-rtGkBXCNjxqk3iYmGCpyezEegOB1Vy0yc8M7-8xQU", mpp.Challenge{}},
		{"V2", "Xtf3aoTm_itQy4hELPd45NCy7z95ZveP5mYh4nPQ9_M", mpp.Challenge{Expires: "2027-01-01T00:00:00Z"}},
		{"V3", "hj2GMq7ehXQ9YHuDVA9gTAF3Tt6ja8S4UU2YnF6Q-H4", mpp.Challenge{Expires: "2027-01-01T00:00:00.000Z"}},
		{"V4", "bPX9YtTM4GKq8Yk2ugXKX1KPsA7uor0-v05LLsKzkBk", mpp.Challenge{Digest: "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"}},
		{"V5", "sWOsRzLciSnt_3nOyuEh9mhJsc6eh4YXHeo-v4EMNy4", mpp.Challenge{Opaque: "eyJjYXJ0IjoiYzkiLCJvcmRlciI6Im8xIn0"}},
		{"V6", "tPu-BliMWIFwvGQKIuy4LlvyhlcUWNXVxjv2Qwt_kqQ", mpp.Challenge{Expires: "2027-01-01T00:00:00Z", Digest: "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:", Opaque: "eyJjYXJ0IjoiYzkiLCJvcmRlciI6Im8xIn0"}},
		{"V7", "tPu-BliMWIFwvGQKIuy4LlvyhlcUWNXVxjv2Qwt_kqQ", mpp.Challenge{Expires: "2027-01-01T00:00:00Z", Digest: "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:", Opaque: "eyJjYXJ0IjoiYzkiLCJvcmRlciI6Im8xIn0", Description: "d"}},
		{"V8", "zLcQ8QClbbV0OF3h_dkHirI4JB1aHPGprmZRNcXmUoA", mpp.Challenge{Expires: "2027-01-01T00:00:00Z", Header: "Payment-Authorization"}},
		{"V9", "vXsCeq_vEPLEQdJnAuk0UQ0OfGuvbxDpEgKiDN9cvbI", mpp.Challenge{Request: "eyJhbW91bnQiOiIxMDAiLCJjdXJyZW5jeSI6InVzZCIsImRlc2NyaXB0aW9uIjoiPGI-VG9tICYgSmVycnk8L2I-IGNhZsOpIOKYlSDigKggXCJxXCIgXFwgXHUwMDA3IiwibWV0aG9kRGV0YWlscyI6eyJuZXR3b3JrSWQiOiJwcm9maWxlX3Rlc3RfNjFMYWIiLCJwYXltZW50TWV0aG9kVHlwZXMiOlsiY2FyZCJdfX0"}},
		{"V10", "Ll6zM1eU356ZSkdLALZarDFS19HjCTXRRaOJKzwgNrM", mpp.Challenge{Request: "eyJhbW91bnQiOiIxMDAiLCJjdXJyZW5jeSI6InVzZCIsIm1ldGhvZERldGFpbHMiOnsibWV0YWRhdGEiOnsiYSI6IjEiLCJiIjoiMiIsIvCfmIAiOiJhc3RyYWwiLCLugIAiOiJibXAifSwibmV0d29ya0lkIjoicHJvZmlsZV90ZXN0XzYxTGFiIiwicGF5bWVudE1ldGhvZFR5cGVzIjpbImNhcmQiXX19"}},
		{"V11", "UmJjrICT4OLPR_UbuVn4oplmwFaSiqUTXV_8rR2lJRo", mpp.Challenge{Opaque: "e30"}},
		{"V12", "rV9bTbaGTPsMMHS35CqKXHBMQYrd0nAW-ymlB1_jmcQ", mpp.Challenge{Request: "eyJhbW91bnQiOiIxMDAwMDAwIiwiY3VycmVuY3kiOiIweDIwYzAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAiLCJtZXRob2REZXRhaWxzIjp7ImNoYWluSWQiOjQyNDMxLCJmZWVQYXllciI6dHJ1ZX0sInJlY2lwaWVudCI6IjB4NzQyZDM1Q2M2NjM0QzA1MzI5MjVhM2I4NDRCYzllNzU5NWY4ZkUwMCJ9", Method: "tempo", Expires: "2027-01-01T00:00:00Z"}},
	} {
		c := tt.c
		c.Realm, c.Intent = "api.example.com", "charge"
		if c.Method == "" {
			c.Method = "stripe"
		}
		if c.Request == "" {
			c.Request = r1
		}
		if got, err := mpp.ComputeID([]byte("paywall-lab-secret-key-0123456789abcdef"), c); err != nil || got != tt.id {
			t.Errorf("%s: %s, %v; want %s", tt.name, got, err, tt.id)
		}
		// The canonical form of the request must be the wire string again.
		b, err := c.RequestObject()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := mpp.EncodeRequest(b); err != nil || got != c.Request {
			t.Errorf("%s: canonical form %s, %v", tt.name, got, err)
		}
	}
}
