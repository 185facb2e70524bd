package mpp

import "net/http"

// ProblemBase precedes the slug in a problem's type.
const ProblemBase = "https://paymentauth.org/problems/"

// Problem is a row of the scheme's table of problem types.
type Problem struct {
	Slug   string
	Status int
}

// Type is the problem's URI.
func (p Problem) Type() string { return ProblemBase + p.Slug }

// Problems is the table of httpauth-payment-01.
func Problems() []Problem {
	return []Problem{
		{"payment-required", http.StatusPaymentRequired},
		{"payment-insufficient", http.StatusPaymentRequired},
		{"payment-expired", http.StatusPaymentRequired},
		{"payment-action-required", http.StatusPaymentRequired},
		{"verification-failed", http.StatusPaymentRequired},
		{"malformed-credential", http.StatusPaymentRequired},
		{"invalid-challenge", http.StatusPaymentRequired},
		{"invalid-payload", http.StatusPaymentRequired},
		{"method-unsupported", http.StatusBadRequest},
		{"bad-request", http.StatusBadRequest},
		{"internal-payment-error", http.StatusInternalServerError},
	}
}
