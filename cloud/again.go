package cloud

import (
	"context"
	"math/rand/v2"
	"time"
)

// readTries is how often one page of a list is asked for while the cloud is too busy to give it. To look at a site takes
// a dozen lists: starting all of them again for one that was throttled would never end in a storm.
const readTries = 6

// ReadAgain calls read, which changes nothing, until it is answered or has failed in another way than by the cloud being
// busy, a few times, with growing pauses of up to two seconds.
func ReadAgain(ctx context.Context, busy func(error) bool, read func() error) error {
	for pause, try := 100*time.Millisecond, 1; ; pause, try = min(2*pause, 2*time.Second), try+1 {
		err := read()
		if err == nil || try == readTries || !busy(err) {
			return err
		}
		t := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return err
		}
	}
}
