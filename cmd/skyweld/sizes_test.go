package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/sizes"
	"github.com/skyweld/skyweld/spec"
)

// TestExplainSizes shows what a size is at each cloud, wherever a size can be given, and nowhere else.
func TestExplainSizes(t *testing.T) {
	for _, f := range spec.Fields() {
		if element(f) {
			continue
		}
		var out bytes.Buffer
		e := explainer{out: &out, wide: helpWidth}
		if err := e.field(plainPath(f.Path), false); err != nil {
			t.Fatal(err)
		}
		text, size := out.String(), strings.HasSuffix(f.Path, ".size")
		if strings.Contains(text, "\nSIZES:\n") != size {
			t.Errorf("%s:\n%s", f.Path, text)
		}
		if !size {
			continue
		}
		for _, s := range sizes.All() {
			if !strings.Contains(text, s.Type.Name+" ") {
				t.Errorf("%s doesn't have %s, which %s is at %s:\n%s", f.Path, s.Type.Name, s.Name, s.Cloud, text)
			}
		}
		for _, line := range []string{
			"\nmedium   4       16 GiB   aws            m6i.xlarge          its own      0.1920     us-east-1\n",
			"\nsmall    2       4 GiB    digitalocean   s-2vcpu-4gb         shared       0.0357     nyc1\n",
			"What small, medium and large are at each cloud, of 2026-11-22",
		} {
			if !strings.Contains(text, line) {
				t.Errorf("%s doesn't have %q:\n%s", f.Path, line, text)
			}
		}
	}
}
