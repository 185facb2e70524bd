package ucp_test

import (
	"crypto/sha256"

	"paywall/ucp/agent"
)

func key(name, secret string, profiles ...string) agent.APIKey {
	return agent.APIKey{Name: name, Hash: sha256.Sum256([]byte(secret)), Profiles: profiles}
}
