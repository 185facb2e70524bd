package link

// Connect decides a login as its person would on the page: userCode is the code
// that the agent shows.
func (w *Wallet) Connect(userCode string, allow bool) error {
	if !w.decideDevice(readUserCode(userCode), allow) {
		return ErrNotFound
	}
	return nil
}
