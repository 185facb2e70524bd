package x402

import "paywall/payment"

// Codes for what is wrong with a payment: `error`, `invalidReason`, `errorReason`.
// The vocabulary is open; these are the specification's own and the few that are
// needed beside them.
const (
	CodeInsufficientFunds   = "insufficient_funds"
	CodeInvalidNetwork      = "invalid_network"
	CodeInvalidPayload      = "invalid_payload"
	CodeInvalidRequirements = "invalid_payment_requirements"
	CodeInvalidScheme       = "invalid_scheme"
	CodeUnsupportedScheme   = "unsupported_scheme"
	CodeInvalidVersion      = "invalid_x402_version"
	CodeInvalidState        = "invalid_transaction_state"
	CodeVerifyError         = "unexpected_verify_error"
	CodeSettleError         = "unexpected_settle_error"
	CodePending             = "settlement_pending"

	CodeValidAfter  = "invalid_exact_evm_payload_authorization_valid_after"
	CodeValidBefore = "invalid_exact_evm_payload_authorization_valid_before"
	CodeValue       = "invalid_exact_evm_payload_authorization_value_mismatch"
	CodeSignature   = "invalid_exact_evm_payload_signature"
	CodeRecipient   = "invalid_exact_evm_payload_recipient_mismatch"

	CodeNonceUsed     = "invalid_exact_evm_nonce_already_used"
	CodeDuplicate     = "duplicate_settlement"
	CodeAllowance     = "permit2_allowance_required"
	CodeExtensionEcho = "extension_echo_mismatch"
	CodeSignIn        = "invalid_siwx_proof"

	CodePermitToken       = "permit2_token_mismatch"
	CodePermitSpender     = "invalid_permit2_spender"
	CodePermitFacilitator = "upto_facilitator_mismatch"
)

// Texts of `error` that clients know.
const (
	errorRequired = "Payment required"
	errorNoMatch  = "No matching payment requirements"
)

// code is what stands for a kind where the error says nothing itself.
func code(k payment.Kind) string {
	switch k {
	case payment.KindPaymentRequired:
		return errorRequired
	case payment.KindMalformedCredential, payment.KindBadRequest, payment.KindInvalidPayload:
		return CodeInvalidPayload
	case payment.KindInvalidChallenge, payment.KindMethodUnsupported:
		return CodeInvalidRequirements
	case payment.KindPaymentExpired:
		return CodeValidBefore
	case payment.KindPaymentInsufficient:
		return CodeInsufficientFunds
	case payment.KindVerificationFailed, payment.KindActionRequired:
		return CodeInvalidState
	case payment.KindInternal, payment.KindInProgress, payment.KindPending, payment.KindPaused, payment.KindBusy:
		return CodePending
	}
	return CodeInvalidState
}
