package evm

import "math/big"

const typeAuthorization = "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"

// Domain says which contract on which chain a signed message is for (EIP-712).
type Domain struct {
	// Name and Version are the contract's own; an empty Version leaves it out.
	Name, Version string
	ChainID       uint64
	// Contract is who checks the signature; the zero address leaves it out.
	Contract Address
}

// Separator is the domain's hash.
func (d Domain) Separator() Hash {
	kind := "EIP712Domain(string name"
	if d.Version != "" {
		kind += ",string version"
	}
	kind += ",uint256 chainId"
	if !d.Contract.IsZero() {
		kind += ",address verifyingContract"
	}
	buf := make([]byte, 0, 5*32)
	buf = appendHash(buf, Keccak256([]byte(kind+")")))
	buf = appendHash(buf, Keccak256([]byte(d.Name)))
	if d.Version != "" {
		buf = appendHash(buf, Keccak256([]byte(d.Version)))
	}
	buf = appendUint(buf, new(big.Int).SetUint64(d.ChainID))
	if !d.Contract.IsZero() {
		buf = appendAddress(buf, d.Contract)
	}
	return Keccak256(buf)
}

// digest is what is signed of a message with this hash.
func (d Domain) digest(message Hash) Hash {
	separator := d.Separator()
	return Keccak256([]byte("\x19\x01"), separator[:], message[:])
}

func appendHash(buf []byte, h Hash) []byte { return append(buf, h[:]...) }

// Authorization is a transfer of a token that anybody may carry out for the payer,
// once (EIP-3009). Times are seconds since 1970; the transfer is good after
// ValidAfter and before ValidBefore, both exclusive. A nil number is zero.
type Authorization struct {
	From, To                Address
	Value                   *big.Int
	ValidAfter, ValidBefore *big.Int
	// Nonce is the payer's choice and, with From, names the authorization at the token.
	Nonce Hash
}

// Digest is what the payer signs, for the token that the domain is of.
func (a Authorization) Digest(d Domain) Hash {
	buf := make([]byte, 0, 7*32)
	buf = appendHash(buf, Keccak256([]byte(typeAuthorization)))
	buf = appendAddress(buf, a.From)
	buf = appendAddress(buf, a.To)
	buf = appendUint(buf, a.Value)
	buf = appendUint(buf, a.ValidAfter)
	buf = appendUint(buf, a.ValidBefore)
	buf = appendHash(buf, a.Nonce)
	return d.digest(Keccak256(buf))
}

// TextDigest is what a wallet signs when it is asked to sign a text (EIP-191).
func TextDigest(text []byte) Hash {
	head := "\x19Ethereum Signed Message:\n" + big.NewInt(int64(len(text))).String()
	return Keccak256([]byte(head), text)
}
