package engine

import (
	"context"
	"testing"
	"time"

	"github.com/skyweld/skyweld/cloud"
)

// TestRetryHeld tries a conflict again that passes by itself, and not one that somebody has to end: that is to be known at
// once.
func TestRetryHeld(t *testing.T) {
	for _, held := range []bool{false, true} {
		tries := 0
		_, err := retry(t.Context(), patience{retry: time.Millisecond, step: time.Minute}, func(context.Context) (struct{}, error) {
			if tries++; tries < 3 {
				return struct{}{}, &cloud.Error{Class: cloud.Conflict, Message: "in use", Held: held}
			}
			return struct{}{}, nil
		})
		if want := map[bool]int{false: 3, true: 1}[held]; tries != want || (err != nil) != held {
			t.Errorf("held %v: %d tries, error %v; want %d tries", held, tries, err, want)
		}
	}
}
