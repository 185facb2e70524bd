package sandbox

import (
	"encoding/json"
	"errors"
	"net/http"

	"paywall/sandbox/facilitator"
	"paywall/sandbox/stripe"
)

// watched lets the processor see the chains by its own names for them.
type watched struct{ chains *facilitator.Server }

// watchedNetworks are the chains behind a network of the processor. In here its
// test addresses see play money on the test network and on the main one alike.
var watchedNetworks = map[string][]string{"base": {"eip155:8453", "eip155:84532"}}

// Received lists what an address received, network by network, oldest first.
func (w watched) Received(network, address string) []stripe.ChainTransfer {
	var found []stripe.ChainTransfer
	for _, name := range watchedNetworks[network] {
		for _, t := range w.chains.Received(name, address) {
			found = append(found, stripe.ChainTransfer{Hash: t.Transaction, From: t.From, To: t.To, Contract: t.Asset, Units: t.Amount(), At: t.At})
		}
	}
	return found
}

// amount is a number of units in a wish: a string of digits, or a number.
type amount string

// UnmarshalJSON takes both spellings and leaves it to the chain to judge them.
func (a *amount) UnmarshalJSON(b []byte) error {
	var n json.Number
	if err := json.Unmarshal(b, &n); err != nil {
		return err //nolint:wrapcheck // the decoder adds the name
	}
	*a = amount(n)
	return nil
}

// fund gives an address what it wants.
func (s *Sandbox) fund(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Network   string `json:"network"`
		Address   string `json:"address"`
		Asset     string `json:"asset"`
		Units     amount `json:"units"`
		Balance   amount `json:"balance"`
		Allowance amount `json:"allowance"`
	}
	if err := read(r, &in); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	balance, err := s.chains.Fund(facilitator.Wish{
		Network: in.Network, Address: in.Address, Asset: in.Asset,
		Units: string(in.Units), Balance: string(in.Balance), Allowance: string(in.Allowance),
	})
	if err != nil {
		refuseWish(w, err)
		return
	}
	reply(w, http.StatusOK, map[string]any{"notice": Notice, "network": in.Network, "address": in.Address, "balance": balance})
}

// cancelNonce uses up the nonce of an authorization, as its owner can on the chain.
func (s *Sandbox) cancelNonce(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Network string `json:"network"`
		Address string `json:"address"`
		Asset   string `json:"asset"`
		Nonce   string `json:"nonce"`
	}
	if err := read(r, &in); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	hash, err := s.chains.Cancel(in.Network, in.Asset, in.Address, in.Nonce)
	if err != nil {
		refuseWish(w, err)
		return
	}
	reply(w, http.StatusOK, map[string]any{"notice": Notice, "transaction": hash})
}

func (s *Sandbox) setFacilitator(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Repeat string `json:"repeat"`
	}
	if err := read(r, &in); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if err := s.chains.SetRepeat(in.Repeat); err != nil {
		refuseWish(w, err)
		return
	}
	reply(w, http.StatusOK, map[string]any{"notice": Notice, "repeat": in.Repeat})
}

func refuseWish(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	if _, ok := errors.AsType[*facilitator.ControlError](err); ok {
		status = http.StatusBadRequest
	}
	refuse(w, status, err.Error())
}
