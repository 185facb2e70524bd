// Package fetch calls URLs that somebody else has named: the profile of an agent,
// the address that wants to hear of orders. Whoever may name a URL may try to make
// this server reach what only this server can reach, so a name is checked before
// it is looked up, every address before it is dialled, and nothing leads on from
// there: no redirects, no proxies, no compression, and bounds on size and time.
package fetch
