package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/skyweld/skyweld/api"
)

// timelineCells is how wide the bars of a timeline are.
const timelineCells = 48

// timeline draws when a run that is over had steps at each cloud, as the console does: the critical path, those that the run
// took as long as it did for, is thicker. Of fewer than two steps there is nothing to see.
func timeline(w io.Writer, run api.Run) {
	var end time.Time
	sites := map[string][]api.RunStep{}
	for _, s := range run.Steps {
		if !s.Started.IsZero() && !s.Ended.IsZero() {
			sites[s.Site] = append(sites[s.Site], s)
			if s.Ended.After(end) {
				end = s.Ended
			}
		}
	}
	took := end.Sub(run.Started)
	if len(run.Steps) < 2 || took <= 0 {
		return
	}
	fmt.Fprintf(w, "  steps by site in %s; █ is the critical path\n", span(took))
	for _, site := range slices.Sorted(maps.Keys(sites)) {
		bar := []rune(strings.Repeat("·", timelineCells))
		for _, s := range sites[site] {
			first, last := cellAt(s.Started.Sub(run.Started), took), cellAt(s.Ended.Sub(run.Started), took)
			for i := first; i <= last; i++ {
				if slices.Contains(run.CriticalPath, s.ID) {
					bar[i] = '█'
				} else if bar[i] == '·' {
					bar[i] = '▒'
				}
			}
		}
		name := site
		if name == "" {
			name = "(all)"
		}
		fmt.Fprintf(w, "  %-13s %s %s\n", name, string(bar), counted(len(sites[site]), "step"))
	}
}

// cellAt is the part of a bar that a time falls into.
func cellAt(at, took time.Duration) int {
	return int(min(timelineCells-1, max(0, at*timelineCells/took)))
}
