package cloud

import (
	"math/rand/v2"
	"time"
)

// Backoff is the one way in which calls are tried again: pauses that double from First up to Most, of which chance takes up
// to a half, so that those who failed together don't come back together.
type Backoff struct {
	First, Most time.Duration
	due         time.Duration
}

// spreadMost is by how much chance lengthens at most what a cloud asked for.
const spreadMost = 15 * time.Second

// Next is how long to wait before the next try. A cloud that asks for longer gets that, and up to a quarter of it more by
// chance.
func (b *Backoff) Next(asked time.Duration) time.Duration {
	if b.due == 0 {
		b.due = b.First
	}
	pause := b.due - rand.N(b.due/2+1)
	b.due = min(2*b.due, b.Most)
	if asked >= pause {
		pause = asked + rand.N(min(asked/4, spreadMost)+1)
	}
	return pause
}
