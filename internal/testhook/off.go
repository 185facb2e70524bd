//go:build !testhooks

package testhook

import "time"

// Point returns nil: there are no crash points in a release.
func Point() func(name string) { return nil }

// Now returns the real clock.
func Now() func() time.Time { return time.Now }
