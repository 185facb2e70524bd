package evm

import (
	"strconv"
	"strings"
)

// Asset is a token whose transfers can be authorized by signature (EIP-3009).
type Asset struct {
	Symbol string
	// Network is the chain's CAIP-2 name.
	Network  string
	Contract Address
	// Name and Version are of the token's signing domain. They differ between chains
	// for one token, and with a wrong one every payment fails.
	Name, Version string
	Decimals      int
}

// Domain is what payers sign for. The error is that of [ChainID].
func (a Asset) Domain() (Domain, error) {
	id, err := ChainID(a.Network)
	if err != nil {
		return Domain{}, err
	}
	return Domain{Name: a.Name, Version: a.Version, ChainID: id, Contract: a.Contract}, nil
}

// Assets lists the tokens that are known here, main networks first.
func Assets() []Asset {
	usdc := func(network, contract, name string) Asset {
		return Asset{Symbol: "USDC", Network: network, Contract: known(contract), Name: name, Version: "2", Decimals: 6}
	}
	return []Asset{
		usdc("eip155:8453", "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "USD Coin"),  // Base
		usdc("eip155:1", "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "USD Coin"),     // Ethereum
		usdc("eip155:10", "0x0b2C639c533813f4Aa9D7837CAf62653d097Ff85", "USD Coin"),    // OP Mainnet
		usdc("eip155:137", "0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359", "USD Coin"),   // Polygon
		usdc("eip155:42161", "0xaf88d065e77c8cC2239327C5EDb3A432268e5831", "USD Coin"), // Arbitrum One
		usdc("eip155:43114", "0xB97EF9Ef8734C71904D8002F8b6Bc66Dd9c48a6E", "USD Coin"), // Avalanche
		usdc("eip155:84532", "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "USDC"),     // Base Sepolia
		usdc("eip155:11155111", "0x1c7D4B196Cb0C7B01d743Fbc6116a902379C7238", "USDC"),  // Sepolia
		usdc("eip155:80002", "0x41E94Eb019C0762f9Bfcf9Fb1E58725BfB0e7582", "USDC"),     // Polygon Amoy
		usdc("eip155:43113", "0x5425890298aed601595a70AB815c96711a31Bc65", "USD Coin"), // Avalanche Fuji
	}
}

// FindAsset returns the token with this symbol on the network.
func FindAsset(network, symbol string) (Asset, bool) {
	for _, a := range Assets() {
		if a.Network == network && a.Symbol == symbol {
			return a, true
		}
	}
	return Asset{}, false
}

// ChainID is N of a network that is named "eip155:N" (CAIP-2), from 1 on, without
// leading zeros.
func ChainID(network string) (uint64, error) {
	digits, ok := strings.CutPrefix(network, "eip155:")
	if !ok || digits == "" || digits[0] == '0' || digits[0] == '+' {
		return 0, ErrNetwork
	}
	id, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return 0, ErrNetwork
	}
	return id, nil
}
