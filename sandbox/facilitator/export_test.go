package facilitator

import "math/big"

// What the tests compare with other implementations.

func AuthorizationDigest(name, version string, chain uint64, contract, from, to [20]byte, value, after, before *big.Int, nonce [32]byte) (separator, structure, digest [32]byte) {
	a := authorization{from: from, to: to, value: value, validAfter: after, validBefore: before, nonce: nonce}
	d := tokenDomain(name, version, chain, contract)
	return d, a.structure(), message(d, a.structure())
}

func PermitDigest(chain uint64, upto bool, token, spender, to, by [20]byte, amount, nonce, deadline, after *big.Int) [32]byte {
	p := permit{token: token, spender: spender, to: to, facilitator: by, amount: amount, nonce: nonce, deadline: deadline, validAfter: after, upto: upto}
	return message(permitDomain(chain), p.structure())
}

func Signer(digest [32]byte, signature [65]byte) ([20]byte, bool) { return signer(digest, signature) }

func TypeHash(declaration string) [32]byte { return keccak([]byte(declaration)) }

// Reading is all that decides about a body that can be read.
type Reading struct {
	Version                                 int
	Network, Scheme, Payer, Amount, Message string
}

// Read reads a body; the message is the hash of what is signed, of any domain.
func Read(body []byte) (Reading, error) {
	o, err := read(body)
	if err != nil {
		return Reading{}, err
	}
	var structure word
	if o.permit != nil {
		structure = o.permit.structure()
	} else {
		structure = o.authorization.structure()
	}
	return Reading{o.version, o.network, o.scheme, o.payer, o.amount.String(), structure.String()}, nil
}
