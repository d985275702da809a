// Package lifecycle makes tenants with their databases: a [Lifecycle] creates and
// adopts them, goes on with creations that were interrupted, and finds databases
// without a tenant.
package lifecycle
