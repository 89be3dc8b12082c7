// Package memo remembers what was worked out from texts that seldom change, such as documents that a list decodes each time it
// is shown. What is remembered is tied to the text itself, so it is never out of date, whoever writes the text. It is no
// cache of answers: the text is always read.
package memo

import (
	"crypto/sha256"
	"sync"
)

// Memo remembers one value for each key. The zero Memo remembers 10,000 of them. It may be used from many goroutines.
type Memo[V any] struct {
	// Most is how many keys are remembered at most; one more, and all are forgotten.
	Most int

	mu sync.Mutex
	by map[string]made[V]
}

// made is a value with the text that it was made of.
type made[V any] struct {
	of    [sha256.Size]byte
	value V
}

// Of returns what a text comes to: what is remembered under the key where that was made of the same text, else what is made
// now. Errors aren't remembered. Values are shared, so nobody may change what they hold.
func (m *Memo[V]) Of(key string, text []byte, make func() (V, error)) (V, error) {
	sum := sha256.Sum256(text)
	m.mu.Lock()
	known, ok := m.by[key]
	m.mu.Unlock()
	if ok && known.of == sum {
		return known.value, nil
	}
	v, err := make()
	if err != nil {
		return v, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	most := m.Most
	if most == 0 {
		most = 10000
	}
	if m.by == nil || len(m.by) >= most {
		m.by = map[string]made[V]{}
	}
	m.by[key] = made[V]{sum, v}
	return v, nil
}
