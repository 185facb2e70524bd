package facilitator

import (
	"crypto/sha256"
	"encoding/base64"
	"math/big"
	"strings"
	"time"

	"paywall/payment"
	"paywall/x402"
	"paywall/x402/evm"
)

// settleTime is how long an authorization must still be good for, so that the chain
// can take it: the protocol's own margin.
const settleTime = 6 * time.Second

// Inspect implements [payment.Method]: everything about the payment that can be
// proved without the chain, the curve last. That the payer has the money, and has
// not used the authorization elsewhere, is not known after it.
func (m *Method) Inspect(c payment.Credential) (payment.Instrument, error) {
	s, err := m.parse(c.Payload)
	if err != nil {
		return payment.Instrument{}, &payment.Error{
			Kind: payment.KindInvalidPayload, Reason: x402.CodeInvalidPayload, Detail: "the payment does not have the form of its scheme", Err: err,
		}
	}
	if c.Offer.Network != m.cfg.Asset.Network {
		return payment.Instrument{}, refuse(payment.KindInvalidChallenge, x402.CodeInvalidNetwork, "the payment is for another network")
	}
	need, err := m.required(c.Offer)
	if err != nil {
		return payment.Instrument{}, &payment.Error{
			Kind: payment.KindMethodUnsupported, Reason: x402.CodeInvalidRequirements, Detail: "this way of paying is no longer offered", Err: err,
		}
	}
	if err := m.agree(s, need); err != nil {
		return payment.Instrument{}, err
	}
	if err := m.timely(s); err != nil {
		return payment.Instrument{}, err
	}
	// The message is hashed under the domain of the configured token, whatever the
	// payer was told or claims.
	signer, err := evm.Recover(s.digest(m.domain), s.signature)
	if err != nil || signer != s.from {
		return payment.Instrument{}, refuse(payment.KindVerificationFailed, x402.CodeSignature, "the signature is not the payer's for this payment")
	}
	return payment.Instrument{Fingerprint: m.fingerprint(s)}, nil
}

func refuse(kind payment.Kind, reason, detail string) *payment.Error {
	return &payment.Error{Kind: kind, Reason: reason, Detail: detail}
}

// agree compares what was signed with what was asked for. More than the amount is
// wrong too.
func (m *Method) agree(s signed, need requirements) error {
	switch {
	case s.to != m.cfg.PayTo:
		return refuse(payment.KindVerificationFailed, x402.CodeRecipient, "the payment is to somebody else")
	case s.value.String() != need.Amount:
		return refuse(payment.KindVerificationFailed, x402.CodeValue, "the payment is of another amount")
	case m.cfg.Scheme != SchemeUpto:
		return nil
	case s.token != m.cfg.Asset.Contract:
		return refuse(payment.KindVerificationFailed, "permit2_token_mismatch", "the payment is in another token")
	case s.permit.Spender != evm.PermitUpto.Spender():
		return refuse(payment.KindVerificationFailed, "invalid_permit2_spender", "the payment is for another contract to carry out")
	case s.permit.Facilitator.Checksum() != need.Extra.Facilitator:
		return refuse(payment.KindVerificationFailed, "upto_facilitator_mismatch", "the payment is for another facilitator to carry out")
	}
	return nil
}

func (m *Method) timely(s signed) error {
	now := m.cfg.Now()
	if s.before.Cmp(big.NewInt(now.Add(settleTime).Unix())) < 0 {
		return refuse(payment.KindPaymentExpired, x402.CodeValidBefore, "the payment's time is over, or ends before it could be settled")
	}
	if s.after.Cmp(big.NewInt(now.Unix())) > 0 {
		return refuse(payment.KindVerificationFailed, x402.CodeValidAfter, "the payment is not valid yet")
	}
	return nil
}

// fingerprint names what is spent: a payer's nonce at a token. A second payment with
// it can never be carried out.
func (m *Method) fingerprint(s signed) string {
	return digest("evm", m.cfg.Asset.Network, m.cfg.Asset.Contract.String(), s.from.String(), s.nonce)
}

// digest separates its parts by a byte that none of them holds.
func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
