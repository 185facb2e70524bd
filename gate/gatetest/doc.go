// Package gatetest has the suite that every 402 protocol passes behind a gate.
package gatetest
