package spec

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestExamples: every field that people write has an example, which is valid for it.
func TestExamples(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Fields() {
		seen[f.Path] = true
		engines := f.Fixed == engineGiven || f.Path == "metadata.generation" || f.Path == "status"
		switch {
		case (f.Example == "") != (engines || f.kind == object):
			t.Errorf("%s: the example is %q", f.Path, f.Example)
		case f.Example == "":
		case f.check != nil:
			if ok, hint := f.check(f.Example); !ok {
				t.Errorf("%s: the example %s is not valid; want %s (%s)", f.Path, f.Example, f.Allowed, hint)
			}
		default:
			var v any
			if err := yaml.Unmarshal([]byte(f.Example), &v); err != nil {
				t.Errorf("%s: the example %s: %v", f.Path, f.Example, err)
			}
		}
	}
	for path := range examples {
		if !seen[path] {
			t.Errorf("there is an example of %s, but no such field", path)
		}
	}
}

func TestNearest(t *testing.T) {
	for path, want := range map[string]string{
		"spec.worker":           "spec.workers",
		"spec.workers[0].cuont": "spec.workers.count",
		"spec.controlplane":     "spec.controlPlane",
		"spec.network.maxrt":    "spec.network.maxRTT",
		"spec.nodes.replicas":   "spec.controlPlane.replicas",
		"replica":               "spec.controlPlane.replicas",
		"quux":                  "",
		"":                      "",
	} {
		if got := Nearest(path); got != want {
			t.Errorf("Nearest(%q) = %q; want %q", path, got, want)
		}
	}
	for _, f := range Fields() {
		if at := bare(f.Path); Nearest(strings.ToUpper(at)) != at {
			t.Errorf("Nearest of %s in capitals is %s", at, Nearest(strings.ToUpper(at)))
		}
	}
}
