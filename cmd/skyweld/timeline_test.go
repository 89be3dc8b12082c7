package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/skyweld/skyweld/api"
)

func TestTimeline(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	step := func(id, site string, from, to time.Duration) api.RunStep {
		return api.RunStep{ID: id, Site: site, Started: start.Add(from), Ended: start.Add(to)}
	}
	run := api.Run{Started: start, CriticalPath: []string{"a", "c"}, Steps: []api.RunStep{
		step("a", "aws", 0, 10*time.Second), step("b", "gcp", 0, 5*time.Second), step("c", "gcp", 10*time.Second, 40*time.Second), step("d", "aws", 5*time.Second, 20*time.Second), {ID: "skipped", Site: "aws"},
	}}
	var out bytes.Buffer
	timeline(&out, run)
	want := "  steps by site in 40s; █ is the critical path\n" +
		"  aws           " + strings.Repeat("█", 13) + strings.Repeat("▒", 12) + strings.Repeat("·", 23) + " 2 steps\n" +
		"  gcp           " + strings.Repeat("▒", 7) + strings.Repeat("·", 5) + strings.Repeat("█", 36) + " 2 steps\n"
	if out.String() != want {
		t.Errorf("it draws\n%s\nwant\n%s", &out, want)
	}
	for name, run := range map[string]api.Run{
		"nothing done": {Started: start}, "one step": {Started: start, Steps: run.Steps[:1]},
		"none that ended": {Started: start, Steps: []api.RunStep{{ID: "a"}, {ID: "b"}}}, "in no time": {Started: start, Steps: []api.RunStep{step("a", "aws", 0, 0), step("b", "aws", 0, 0)}},
	} {
		out.Reset()
		if timeline(&out, run); out.Len() > 0 {
			t.Errorf("%s: it draws\n%s", name, &out)
		}
	}
}
