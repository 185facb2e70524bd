package facilitator

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// An Asset is a token on a chain.
type Asset struct {
	// Network is CAIP-2, eip155:84532 for example.
	Network string `json:"network"`
	Symbol  string `json:"symbol"`
	// Contract is 0x and 40 hexadecimal digits.
	Contract string `json:"contract"`
	// Name and Version are those of the token's signing domain.
	Name     string `json:"name"`
	Version  string `json:"version"`
	Decimals int    `json:"decimals"`
}

// DefaultAssets are the USD Coins that exist without being configured.
func DefaultAssets() []Asset {
	usdc := func(chain, name, contract string) Asset {
		return Asset{Network: "eip155:" + chain, Symbol: "USDC", Contract: contract, Name: name, Version: "2", Decimals: 6}
	}
	return []Asset{
		usdc("84532", "USDC", "0x036CbD53842c5426634e7929541eC2318f3dCF7e"),
		usdc("8453", "USD Coin", "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"),
		usdc("1", "USD Coin", "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"),
		usdc("10", "USD Coin", "0x0b2C639c533813f4Aa9D7837CAf62653d097Ff85"),
		usdc("137", "USD Coin", "0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359"),
		usdc("42161", "USD Coin", "0xaf88d065e77c8cC2239327C5EDb3A432268e5831"),
		usdc("43114", "USD Coin", "0xB97EF9Ef8734C71904D8002F8b6Bc66Dd9c48a6E"),
		usdc("43113", "USD Coin", "0x5425890298aed601595a70AB815c96711a31Bc65"),
		usdc("80002", "USDC", "0x41E94Eb019C0762f9Bfcf9Fb1E58725BfB0e7582"),
		usdc("11155111", "USDC", "0x1c7D4B196Cb0C7B01d743Fbc6116a902379C7238"),
	}
}

// oldNames are the networks that version 1 knows, by its names for them.
var oldNames = map[string]string{
	"base-sepolia": "eip155:84532", "base": "eip155:8453", "avalanche-fuji": "eip155:43113", "avalanche": "eip155:43114",
	"polygon": "eip155:137", "polygon-amoy": "eip155:80002", "sepolia": "eip155:11155111", "ethereum": "eip155:1",
}

// The contracts of Permit2 and of x402 on top of it, the same on every chain.
var (
	permit2    = mustAddress("0x000000000022D473030F116dDEE9F6B43aC78BA3")
	exactProxy = mustAddress("0x402085c248EeA27D92E8b30b2C58ed07f9E20001")
	uptoProxy  = mustAddress("0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002")
)

func mustAddress(s string) address {
	a, err := parseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

// A token is an [Asset] that was checked.
type token struct {
	Asset

	contract  address
	separator word
}

func chainID(network string) (uint64, error) {
	digits, ok := strings.CutPrefix(network, "eip155:")
	id, err := strconv.ParseUint(digits, 10, 63)
	if !ok || err != nil || id == 0 || strconv.FormatUint(id, 10) != digits {
		return 0, fmt.Errorf("network %.60q: want eip155: and the number of a chain", network)
	}
	return id, nil
}

// tokensOf checks assets and sorts them by chain.
func tokensOf(assets []Asset) (map[uint64][]*token, error) {
	chains := make(map[uint64][]*token)
	for i, a := range assets {
		id, err := chainID(a.Network)
		if err != nil {
			return nil, fmt.Errorf("assets[%d]: %w", i, err)
		}
		contract, err := parseAddress(a.Contract)
		if err != nil {
			return nil, fmt.Errorf("assets[%d]: contract: %w", i, err)
		}
		if a.Name == "" || a.Version == "" || a.Symbol == "" || a.Decimals < 0 || a.Decimals > 36 {
			return nil, fmt.Errorf("assets[%d]: want name, version, symbol and 0 to 36 decimals", i)
		}
		if slices.ContainsFunc(chains[id], func(t *token) bool { return t.contract == contract }) {
			return nil, fmt.Errorf("assets[%d]: the contract is there already", i)
		}
		chains[id] = append(chains[id], &token{Asset: a, contract: contract, separator: tokenDomain(a.Name, a.Version, id, contract)})
	}
	return chains, nil
}
