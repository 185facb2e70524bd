package facilitator

import (
	"math/big"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// An encoder lays out what EIP-712 hashes: the hash of a type, then a word for
// each member.
type encoder struct{ buf []byte }

func typed(declaration string) *encoder {
	t := keccak([]byte(declaration))
	return &encoder{buf: t[:]}
}

func (e *encoder) word(w word) *encoder {
	e.buf = append(e.buf, w[:]...)
	return e
}

func (e *encoder) text(s string) *encoder     { return e.word(keccak([]byte(s))) }
func (e *encoder) address(a address) *encoder { return e.word(a.word()) }
func (e *encoder) uint(n *big.Int) *encoder   { return e.word(wordOf(n)) }
func (e *encoder) sum() word                  { return keccak(e.buf) }

// message is what is signed: a struct, for one domain only.
func message(separator, structure word) word {
	return keccak([]byte{0x19, 0x01}, separator[:], structure[:])
}

// tokenDomain separates the signatures for one token on one chain.
func tokenDomain(name, version string, chain uint64, contract address) word {
	return typed("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)").
		text(name).text(version).word(wordOfUint(chain)).address(contract).sum()
}

// permitDomain is that of Permit2, which has no version.
func permitDomain(chain uint64) word {
	return typed("EIP712Domain(string name,uint256 chainId,address verifyingContract)").
		text("Permit2").word(wordOfUint(chain)).address(permit2).sum()
}

// An authorization is what EIP-3009 has a payer sign.
type authorization struct {
	from, to                       address
	value, validAfter, validBefore *big.Int
	nonce                          word
}

func (a *authorization) structure() word {
	return typed("TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)").
		address(a.from).address(a.to).uint(a.value).uint(a.validAfter).uint(a.validBefore).word(a.nonce).sum()
}

// A permit is what Permit2 has a payer sign, with the witness of the contract
// that carries it out. That of upto names the facilitator too.
type permit struct {
	from, token, spender, to address
	amount, nonce, deadline  *big.Int
	validAfter               *big.Int
	upto                     bool
	facilitator              address
}

func (p *permit) structure() word {
	const permitted = "TokenPermissions(address token,uint256 amount)"
	declaration := "Witness(address to,uint256 validAfter)"
	if p.upto {
		declaration = "Witness(address to,address facilitator,uint256 validAfter)"
	}
	witness := typed(declaration).address(p.to)
	if p.upto {
		witness.address(p.facilitator)
	}
	return typed("PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,Witness witness)" + permitted + declaration).
		word(typed(permitted).address(p.token).uint(p.amount).sum()).
		address(p.spender).uint(p.nonce).uint(p.deadline).word(witness.uint(p.validAfter).sum()).sum()
}

// signer recovers who signed a digest. A signature is r, s and v; the upper half
// of s is refused, as tokens do, because every signature has a twin there.
func signer(digest word, signature [65]byte) (address, bool) {
	v := signature[64]
	if v < 27 {
		v += 27
	}
	if v != 27 && v != 28 {
		return address{}, false
	}
	var s secp256k1.ModNScalar
	if overflow := s.SetByteSlice(signature[32:64]); overflow || s.IsOverHalfOrder() {
		return address{}, false
	}
	compact := append([]byte{v}, signature[:64]...)
	key, _, err := ecdsa.RecoverCompact(compact, digest[:])
	if err != nil {
		return address{}, false
	}
	return addressOf(key), true
}

// addressOf is the account of a public key: the end of the hash of its two coordinates.
func addressOf(key *secp256k1.PublicKey) (a address) {
	h := keccak(key.SerializeUncompressed()[1:])
	copy(a[:], h[12:])
	return a
}
