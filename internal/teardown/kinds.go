package teardown

import (
	"slices"
	"testing"
)

// Kinds is how a driver's kinds stand to the names of the table.
type Kinds[K ~string] struct {
	// Of maps names of the table to kinds.
	Of map[string]K
	// Parts are the names of what is no resource by itself to the driver.
	Parts []string
	// Order lists the kinds in the order of creation.
	Order []K
}

// Check holds the order of the kinds against the rows, and that every name of the table is known.
func (k Kinds[K]) Check(t *testing.T, rows []Row) {
	t.Helper()
	for _, r := range rows {
		for _, name := range []string{r.Resource, r.Other} {
			if _, ok := k.Of[name]; !ok && !slices.Contains(k.Parts, name) {
				t.Errorf("row %s: %q is neither a kind nor a part of one", r.ID, name)
			}
		}
		if r.Driver != Order {
			continue
		}
		resource, other := slices.Index(k.Order, k.Of[r.Resource]), slices.Index(k.Order, k.Of[r.Other])
		switch {
		case resource < 0 || other < 0:
			t.Errorf("row %s: an order is one of kinds, and %s or %s is none", r.ID, r.Resource, r.Other)
		case r.Code == Stays: // either may go first
		case r.Creation && other >= resource:
			t.Errorf("row %s: %s is made before the %s that it needs", r.ID, r.Resource, r.Other)
		case !r.Creation && other <= resource:
			t.Errorf("row %s: %s is deleted before the %s that is in its way", r.ID, r.Resource, r.Other)
		}
	}
}
