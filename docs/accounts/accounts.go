// Package accounts has the pages and policies of this folder, for the console to show: those that the tests hold the drivers
// against, and no copies.
package accounts

import "embed"

// Files are the pages, one for each cloud (CLOUD.md), and what is to be granted there.
//
//go:embed *.md *.json *.yaml *.txt
var Files embed.FS
