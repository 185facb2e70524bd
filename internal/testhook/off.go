//go:build !testhooks

package testhook

import "time"

// Point returns nil: there are no crash points in a release.
func Point() func(name string) { return nil }

// Now returns the real clock.
func Now() (now func() time.Time) {
	now = time.Now
	return now
}
