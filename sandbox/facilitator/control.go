package facilitator

// A Wish changes what an address has. Numbers are decimal, of the smallest unit.
type Wish struct {
	Network string `json:"network"` // CAIP-2
	Address string `json:"address"`
	// Asset is a contract or a symbol; empty is the first token of the network.
	Asset string `json:"asset,omitempty"`
	// Units are added to the balance; Balance replaces it.
	Units   string `json:"units,omitempty"`
	Balance string `json:"balance,omitempty"`
	// Allowance replaces what Permit2 may move, which is without limit at first.
	Allowance string `json:"allowance,omitempty"`
}

// Fund grants a wish and returns the balance. Its errors are a [*ControlError].
func (s *Server) Fund(w Wish) (string, error) {
	owner, err := parseAddress(w.Address)
	if err != nil {
		return "", &ControlError{Member: "address", Why: err.Error()}
	}
	if w.Units == "" && w.Balance == "" && w.Allowance == "" {
		return "", &ControlError{Member: "units", Why: "want units, balance or allowance"}
	}
	if w.Units != "" && w.Balance != "" {
		return "", &ControlError{Member: "balance", Why: "want either units or balance"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	c, of, err := s.known(w.Network, w.Asset)
	if err != nil {
		return "", err
	}
	h := holding{of.contract, owner}
	balance, allowance := c.balance(h), c.allowance(h)
	for _, in := range []struct{ member, value string }{{"units", w.Units}, {"balance", w.Balance}, {"allowance", w.Allowance}} {
		if in.value == "" {
			continue
		}
		n, err := parseUint(in.value)
		if err != nil {
			return "", &ControlError{Member: in.member, Why: err.Error()}
		}
		switch in.member {
		case "units":
			if balance = n.Add(n, balance); balance.BitLen() > 256 {
				return "", &ControlError{Member: in.member, Why: "there is no such sum"}
			}
		case "balance":
			balance = n
		case "allowance":
			allowance = n
		}
	}
	if w.Units != "" || w.Balance != "" {
		c.balances[h] = balance
	}
	if w.Allowance != "" {
		c.allowances[h] = allowance
	}
	return balance.String(), nil
}

// Cancel uses up a nonce of EIP-3009 as its owner can. It returns the hash of the
// transaction; its errors are a [*ControlError].
func (s *Server) Cancel(network, asset, owner, nonce string) (string, error) {
	by, err := parseAddress(owner)
	if err != nil {
		return "", &ControlError{Member: "address", Why: err.Error()}
	}
	n, err := parseWord(nonce)
	if err != nil {
		return "", &ControlError{Member: "nonce", Why: err.Error()}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	c, of, err := s.known(network, asset)
	if err != nil {
		return "", err
	}
	key := nonceOf{of.contract, by, n}
	if c.nonces[key] > 0 {
		return "", &ControlError{Member: "nonce", Why: "is used or cancelled already"}
	}
	tx := &transaction{hash: s.transactionHash(c, n), from: by, to: of.contract, ok: true}
	tx.logs = []event{{contract: of.contract, topics: []word{topicCancelled, by.word(), n}}}
	c.mine(tx, s.now())
	c.nonces[key] = tx.block
	return tx.hash.String(), nil
}

// SetRepeat says how executed settlements are answered from now on; see [Config.Repeat].
func (s *Server) SetRepeat(repeat string) error {
	if err := checkRepeat(repeat); err != nil {
		return &ControlError{Member: "repeat", Why: "want " + RepeatStored + " or " + RepeatRefused}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repeat = repeat
	return nil
}
