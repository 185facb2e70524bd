package x402

import (
	"math/big"
	"time"

	"paywall/payment"
	"paywall/x402/evm"
)

// agree compares what was signed with what was asked for. More than the amount is
// wrong too.
func (e *entry) agree(p *proof) error {
	to := p.to
	switch {
	case to != e.payTo:
		return refuse(payment.KindVerificationFailed, CodeRecipient, "The payment is to somebody else.", errRecipient)
	case p.value != e.need.Amount:
		return refuse(payment.KindVerificationFailed, CodeValue, "The payment is of another amount.", errValue)
	case p.kind != permit:
		return nil
	case p.permit.Token != e.asset:
		return refuse(payment.KindVerificationFailed, CodePermitToken, "The payment is in another token.", errKind)
	case p.permit.Spender != evm.PermitUpto.Spender():
		return refuse(payment.KindVerificationFailed, CodePermitSpender, "The payment is for another contract to carry out.", errKind)
	case p.permit.Facilitator != e.facilitator:
		return refuse(payment.KindVerificationFailed, CodePermitFacilitator, "The payment is for another facilitator to carry out.", errKind)
	}
	return nil
}

// begun reports whether the proof is good already; over whether it ends before it
// could be carried out. Seconds are counted as the chain does, whole.
func (p *proof) begun(now time.Time) bool { return p.after.Cmp(big.NewInt(now.Unix())) <= 0 }

func (p *proof) over(now time.Time) bool {
	return p.before.Cmp(big.NewInt(now.Add(settleTime).Unix())) < 0
}
