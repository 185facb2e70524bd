// Package sqlstore keeps payments, ledger, receipt uses and idempotency keys in
// SQLite. A [Store] owns the file alone and writes through one goroutine, which
// gathers what waits into one transaction: one fsync acknowledges many payments.
// A [Reader] looks at the file while a server has it.
//
// Statements are written once in what SQLite and PostgreSQL have in common;
// only table definitions are per engine, in migrations/<engine>.
//
// A command that changes anything while a server runs goes through the server's
// admin listener; without a server it may open the Store itself.
package sqlstore
