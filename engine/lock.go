package engine

import "context"

// lock is for work that may wait (for the database, or for a cloud) while nobody else may do the same: who waits for it gives up
// with his context, as he would in that work.
type lock chan struct{}

func newLock() lock { return make(lock, 1) }

// take waits for the lock and returns how to give it back.
func (l lock) take(ctx context.Context) (give func(), err error) {
	select {
	case l <- struct{}{}:
		return func() { <-l }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
