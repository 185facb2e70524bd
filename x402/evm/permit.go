package evm

import "math/big"

const (
	typeTokenPermissions = "TokenPermissions(address token,uint256 amount)"
	typePermit           = "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,Witness witness)"
	typeWitnessExact     = "Witness(address to,uint256 validAfter)"
	typeWitnessUpto      = "Witness(address to,address facilitator,uint256 validAfter)"

	permit2Name = "Permit2"
)

// PermitKind is which of the two contracts of x402 carries a [Permit] out.
type PermitKind uint8

// Kinds of permit.
const (
	// PermitExact is of the scheme exact: all of the amount, by anybody.
	PermitExact PermitKind = iota
	// PermitUpto is of the scheme upto: the amount or less, by one facilitator.
	PermitUpto
)

// Spender is the contract that permits of the kind are for, the same on every chain.
func (k PermitKind) Spender() Address {
	if k == PermitUpto {
		return known("0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002")
	}
	return known("0x402085c248EeA27D92E8b30b2C58ed07f9E20001")
}

// Permit2 is the contract that payers approve once and sign permits for ever after,
// the same on every chain.
func Permit2() Address { return known("0x000000000022D473030F116dDEE9F6B43aC78BA3") }

// Permit lets Spender move a token out of the payer's account, once, and only to
// whom its witness names (Permit2, PermitWitnessTransferFrom). Times are seconds
// since 1970. A nil number is zero.
type Permit struct {
	Kind PermitKind
	// From is who signs. It is not part of the message, but of its signature.
	From  Address
	Token Address
	// Amount is what is moved or, for [PermitUpto], the most of it.
	Amount   *big.Int
	Spender  Address
	Nonce    *big.Int
	Deadline *big.Int
	// To is paid; Facilitator, of [PermitUpto] alone, is who may carry it out.
	To, Facilitator Address
	ValidAfter      *big.Int
}

// Digest is what the payer signs on the chain.
func (p Permit) Digest(chainID uint64) Hash {
	kind := typeWitnessExact
	if p.Kind == PermitUpto {
		kind = typeWitnessUpto
	}
	buf := appendHash(nil, Keccak256([]byte(typeTokenPermissions)))
	buf = appendAddress(buf, p.Token)
	permitted := Keccak256(appendUint(buf, p.Amount))

	buf = appendHash(buf[:0], Keccak256([]byte(kind)))
	buf = appendAddress(buf, p.To)
	if p.Kind == PermitUpto {
		buf = appendAddress(buf, p.Facilitator)
	}
	witness := Keccak256(appendUint(buf, p.ValidAfter))

	// The types that a type mentions follow it in the order of their names.
	buf = appendHash(buf[:0], Keccak256([]byte(typePermit+typeTokenPermissions+kind)))
	buf = appendHash(buf, permitted)
	buf = appendAddress(buf, p.Spender)
	buf = appendUint(buf, p.Nonce)
	buf = appendUint(buf, p.Deadline)
	buf = appendHash(buf, witness)
	return Domain{Name: permit2Name, ChainID: chainID, Contract: Permit2()}.digest(Keccak256(buf))
}
