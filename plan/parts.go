package plan

import "slices"

// partsFirst lets what outlived a machine go before another is made in its place: an interface holds the machine's address.
func (m *maker) partsFirst() {
	for _, key := range sortedKeys(m.got) {
		gone, next := m.steps[string(Delete)+"/"+key], m.steps[m.by[m.got[key].PartOf]]
		if gone != nil && next != nil && !slices.Contains(next.After, gone.ID) {
			next.After = append(next.After, gone.ID)
		}
	}
}
