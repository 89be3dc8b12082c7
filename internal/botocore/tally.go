package botocore

import "github.com/skyweld/skyweld/internal/wiretap"

// Tally counts calls by action and refusals by code.
type Tally = wiretap.Tally

// NewTally returns a tally of nothing.
func NewTally() *Tally { return wiretap.NewTally() }
