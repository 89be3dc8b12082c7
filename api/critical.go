package api

import "slices"

// CriticalPath is the chain of done steps that a run took as long as it did for: from the step that ended last back over
// the one that each began after, in the order they were done, as ids.
func CriticalPath(steps []RunStep) []string {
	done := map[string]RunStep{}
	var last RunStep
	later := func(a, b RunStep) bool {
		return b.ID == "" || a.Ended.After(b.Ended) || a.Ended.Equal(b.Ended) && a.ID < b.ID
	}
	for _, st := range steps {
		if st.State != "done" {
			continue
		}
		done[st.ID] = st
		if later(st, last) {
			last = st
		}
	}
	var path []string
	for at := last; at.ID != ""; {
		path = append(path, at.ID)
		delete(done, at.ID) // nothing goes in circles
		var before RunStep
		for _, id := range at.After {
			if st, ok := done[id]; ok && later(st, before) {
				before = st
			}
		}
		at = before
	}
	slices.Reverse(path)
	return path
}
