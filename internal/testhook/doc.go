// Package testhook lets tests stop the process at a named point and move its
// clock. A release binary has neither: without the build tag "testhooks" both
// are nothing, and the names of their variables are not in it.
package testhook
