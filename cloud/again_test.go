package cloud_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skyweld/skyweld/cloud"
)

func TestReadAgain(t *testing.T) {
	errBusy, errOther := errors.New("busy"), errors.New("other")
	busy := func(err error) bool { return errors.Is(err, errBusy) }
	for _, c := range []struct {
		name  string
		says  []error // one after the other; the last one again and again
		want  error
		calls int
	}{
		{"at once", []error{nil}, nil, 1},
		{"after two", []error{errBusy, errBusy, nil}, nil, 3},
		{"another error", []error{errBusy, errOther}, errOther, 2},
		{"for ever", []error{errBusy}, errBusy, 6},
	} {
		synctest.Test(t, func(t *testing.T) {
			calls, start := 0, time.Now()
			err := cloud.ReadAgain(t.Context(), busy, func() error {
				calls++
				return c.says[min(calls, len(c.says))-1]
			})
			if !errors.Is(err, c.want) || calls != c.calls {
				t.Errorf("%s: %v after %d calls; want %v after %d", c.name, err, calls, c.want, c.calls)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("%s: it took %s", c.name, took)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	err := cloud.ReadAgain(ctx, busy, func() error {
		calls++
		cancel()
		return errBusy
	})
	if !errors.Is(err, errBusy) || calls != 1 {
		t.Errorf("cancelled: %v after %d calls", err, calls)
	}
}

func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		if err := cloud.Pause(ctx, time.Second); err != nil || time.Since(start) != time.Second {
			t.Errorf("a second took %s: %v", time.Since(start), err)
		}
		if err := cloud.Pause(ctx, -time.Second); err != nil || time.Since(start) != time.Second {
			t.Errorf("no pause took until %s: %v", time.Since(start), err)
		}
		if err := cloud.Pause(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("an hour ended after %s: %v", time.Since(start), err)
		}
		if err := cloud.Pause(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a pause after the end: %v", err)
		}
	})
}
