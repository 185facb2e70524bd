package facilitator

import (
	"strings"

	"paywall/payment"
	"paywall/x402"
)

// nature is what a refusal says about a settlement that was tried before.
type nature uint8

const (
	// depends on what may change, among others by our own first attempt: that the
	// payer has no money left may mean that it has paid.
	depends nature = iota
	// final is about the message itself: it would have been refused the first time.
	final
	// spent says that the authorization was used. By whom is the question.
	spent
	// unclear does not exclude that the transfer is on its way.
	unclear
	// pending says that it is.
	pending
)

// refusedOther is the reason for whatever is not listed: a facilitator's own words go
// to the log and nowhere else.
const refusedOther = "settle_refused"

// A ruling is what a facilitator's code means.
type ruling struct {
	nature nature
	reason string
	kind   payment.Kind
}

// rule reads a facilitator's code. The vocabulary is open and its spellings differ,
// so that several become one; some facilitators add words after a colon.
func rule(code string) ruling {
	code, _, _ = strings.Cut(code, ":")
	failed := payment.KindVerificationFailed
	switch code {
	case x402.CodePending:
		return ruling{pending, code, failed}
	case x402.CodeSettleError, x402.CodeVerifyError:
		return ruling{unclear, code, failed}
	case x402.CodeNonceUsed, "invalid_exact_evm_payload_nonce_already_used", "nonce_already_used", "authorization_already_used", "permit2_invalid_nonce", x402.CodeDuplicate:
		return ruling{spent, x402.CodeNonceUsed, failed}
	case x402.CodeInsufficientFunds, "invalid_exact_evm_insufficient_balance", "permit2_insufficient_balance":
		return ruling{depends, x402.CodeInsufficientFunds, payment.KindPaymentInsufficient}
	case x402.CodeAllowance:
		return ruling{depends, code, payment.KindPaymentInsufficient}
	case x402.CodeValidBefore, "permit2_deadline_expired":
		return ruling{depends, x402.CodeValidBefore, payment.KindPaymentExpired}
	case x402.CodeValidAfter, "permit2_not_yet_valid", "permit2_payment_too_early":
		return ruling{depends, x402.CodeValidAfter, failed}
	case "invalid_exact_evm_transaction_simulation_failed", "permit2_simulation_failed":
		return ruling{depends, x402.CodeInvalidState, failed}
	// Some say so when they could not read the receipt of what was mined.
	case x402.CodeInvalidState, "invalid_exact_evm_transaction_failed", "invalid_upto_evm_transaction_failed":
		return ruling{unclear, x402.CodeInvalidState, failed}
	case x402.CodeSignature, "invalid_exact_evm_signature", "invalid_permit2_signature", "permit2_invalid_signature":
		return ruling{final, x402.CodeSignature, failed}
	case x402.CodeRecipient, "invalid_exact_evm_recipient_mismatch", "invalid_permit2_recipient_mismatch":
		return ruling{final, x402.CodeRecipient, failed}
	case x402.CodeValue, "invalid_exact_evm_authorization_value", "permit2_amount_mismatch":
		return ruling{final, x402.CodeValue, failed}
	case "asset_not_deployed_contract", "invalid_exact_evm_token_name_mismatch", "invalid_exact_evm_token_version_mismatch",
		"invalid_exact_evm_eip3009_not_supported", x402.CodeInvalidNetwork, x402.CodeInvalidPayload, x402.CodeInvalidRequirements, x402.CodeInvalidScheme, x402.CodeUnsupportedScheme,
		"unsupported_payload_type", x402.CodeInvalidVersion, "invalid_permit2_spender", "permit2_token_mismatch", "upto_facilitator_mismatch":
		return ruling{final, code, failed}
	}
	for _, about := range [...]string{"invalid_exact_evm_payload_", "invalid_upto_evm_payload_", "invalid_permit2_", "unsupported_"} {
		if strings.HasPrefix(code, about) {
			return ruling{final, refusedOther, failed}
		}
	}
	// A word that nobody has defined may stand for a confirmation that took too long.
	return ruling{unclear, refusedOther, failed}
}
