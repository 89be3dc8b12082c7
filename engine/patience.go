package engine

import "time"

// patience is how long the engine waits where waiting is all it can do.
type patience struct {
	// lease is how long a claim of a cluster lasts; it is renewed at a third of that.
	lease time.Duration
	// listLag is how long a cloud's list may leave out what was just made, and show what was just deleted. It is also
	// how long a call whose answer never came may take to show its effect.
	listLag time.Duration
	// retry is the first pause between two tries of a call; it grows from there.
	retry time.Duration
	// step caps how long one call is tried again, whatever its class of error allows.
	step time.Duration
	// call is how long one call of a driver may take, with all that it waits for; 0 is no limit.
	call time.Duration
	// ssh is how long a new machine may take until it answers SSH.
	ssh time.Duration
	// again is when a run that could not even begin is tried again, and the pause after a first failed run.
	again time.Duration
	// look is how often a run looks whether its cluster is to be deleted, or was paused, meanwhile.
	look time.Duration
	// care is the pause between two looks at a cluster between runs.
	care time.Duration
}

var usualPatience = patience{lease: 15 * time.Second, listLag: 2 * time.Minute, retry: 300 * time.Millisecond, step: 10 * time.Minute, call: 15 * time.Minute, ssh: 10 * time.Minute, again: 10 * time.Second, look: 2 * time.Second, care: 30 * time.Second}

// clockSkew is how far a cloud's clock and the database's may differ.
const clockSkew = time.Minute
