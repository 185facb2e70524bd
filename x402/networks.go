package x402

// networksV1 are the names of EVM chains in version 1. Its clients refuse a whole
// answer for one name that they do not know, so that no others may be made up.
func networksV1() [5][2]string {
	return [...][2]string{
		{"eip155:8453", "base"},
		{"eip155:84532", "base-sepolia"},
		{"eip155:43114", "avalanche"},
		{"eip155:43113", "avalanche-fuji"},
		{"eip155:137", "polygon"},
	}
}

// NetworkV1 is the name that version 1 has for a network of CAIP-2, if it has one.
func NetworkV1(caip2 string) (name string, ok bool) {
	for _, n := range networksV1() {
		if n[0] == caip2 {
			return n[1], true
		}
	}
	return "", false
}

// NetworkFromV1 is the CAIP-2 id of a network by its name in version 1.
func NetworkFromV1(name string) (caip2 string, ok bool) {
	for _, n := range networksV1() {
		if n[1] == name {
			return n[0], true
		}
	}
	return "", false
}

// isNetwork reports whether s has the form of a CAIP-2 id.
func isNetwork(s string) bool {
	colon := -1
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-':
		case c == ':' && colon < 0:
			colon = i
		case colon >= 0 && (c >= 'A' && c <= 'Z' || c == '_'):
		default:
			return false
		}
	}
	return colon >= 3 && colon <= 8 && len(s)-colon > 1 && len(s)-colon <= 33
}
