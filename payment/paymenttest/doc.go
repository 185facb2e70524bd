// Package paymenttest holds what the contracts of package payment are tested
// with: a [Store] in memory, a scriptable [Method], and the suites [RunStore]
// and [RunMethod] that every implementation passes.
package paymenttest
