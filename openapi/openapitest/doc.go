// Package openapitest holds handlers to the description of our own endpoints
// ([openapi.Own]): a test wraps its handler, and every request that goes
// through is compared with what is written down.
package openapitest
