//go:build !race

package mpp_test

const raced = false
