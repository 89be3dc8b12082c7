package spec

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const example = `apiVersion: skyweld.dev/v1alpha1
kind: Cluster
metadata: {name: demo}          # 2–50 of a-z 0-9 -
spec:
  kubernetesVersion: v1.36.3
  metro: us-east
  network:
    mode: wireguard-cross-site
    maxRTT: 10ms
  sites:
    - {name: aws, account: my-aws}
    - {name: gcp, account: my-gcp, region: us-east4}
  access: {api: [203.0.113.0/24], ssh: []}
  controlPlane: {replicas: 3, size: medium}
  workers:
    - {name: web, site: aws, size: small, count: 2}
    - {name: batch, site: gcp, size: medium, count: 1, labels: {team: data}, taints: []}
`

const smallest = `{apiVersion: skyweld.dev/v1alpha1, kind: Cluster, metadata: {name: demo}, spec: {sites: [{name: aws, account: my-aws, region: us-east-1}]}}`

func load(t testing.TB, text string) *Cluster {
	t.Helper()
	c, err := Load([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func asText(t testing.TB, c *Cluster) string {
	t.Helper()
	data, err := Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestDefaultsAreVisible(t *testing.T) {
	want := `apiVersion: skyweld.dev/v1alpha1
kind: Cluster
metadata:
  name: demo
spec:
  kubernetesVersion: v1.36.3
  metro: us-east
  network:
    mode: wireguard-cross-site
    maxRTT: 10ms
    onLatency: stop
    pods: 10.216.0.0/14
    services: 10.96.0.0/16
  sites:
    - name: aws
      account: my-aws
      block: 10.64.0.0/16
    - name: gcp
      account: my-gcp
      region: us-east4
      block: 10.65.0.0/16
  access:
    api:
      - 203.0.113.0/24
  controlPlane:
    replicas: 3
    size: medium
    sites:
      - aws
      - gcp
  workers:
    - name: web
      site: aws
      size: small
      count: 2
    - name: batch
      site: gcp
      size: medium
      count: 1
      labels:
        team: data
  repair:
    failedMachines: keep
    notReadyWorkers: replace
    notReadyAfter: 10m0s
`
	if diff := cmp.Diff(want, asText(t, load(t, example))); diff != "" {
		t.Errorf("example (-want +got):\n%s", diff)
	}
	c := load(t, smallest)
	if len(c.Spec.Workers) != 0 || c.Spec.ControlPlane.Replicas != 3 || c.Spec.Network.MaxRTT != Duration(10*time.Millisecond) {
		t.Errorf("smallest %+v", c.Spec)
	}
}

func TestJSONIsRead(t *testing.T) {
	c := load(t, example)
	data, err := json.MarshalIndent(c, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if got := load(t, string(data)); asText(t, got) != asText(t, c) {
		t.Errorf("from JSON:\n%s", asText(t, got))
	}
}

func TestMarshalCanBeAppliedAgain(t *testing.T) {
	old := load(t, example)
	old.Metadata.UID, old.Metadata.Generation = "0123456789abcdef", 7
	old.Metadata.CreationTimestamp = time.Date(2026, 1, 2, 3, 4, 5, 678_000, time.UTC)
	old.Spec.Workers[0].Labels = map[string]string{"a": "true", "b": "1", "c": "", "d": "null", "e": "2026-01-02"}
	old.Spec.Workers[0].Taints = []Taint{{Key: "dedicated", Value: "web", Effect: "NoSchedule"}}
	shown := *old
	shown.Status = map[string]any{"phase": "Ready", "nodes": []string{"a: b", "- c", "#d"}, "text": "two\nlines", "unknown": map[string]any{"x": 1.5}}
	text := asText(t, &shown)
	if !strings.Contains(text, "status:") || !strings.Contains(text, "creationTimestamp: ") {
		t.Errorf("written without status or time:\n%s", text)
	}
	c, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	Inherit(old, c)
	Default(c)
	if errs := append(Validate(c), Immutable(old, c)...); len(errs) > 0 {
		t.Errorf("applied again: %v", errs)
	}
	if diff := cmp.Diff(asText(t, old), asText(t, c)); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

func TestErrors(t *testing.T) {
	// edit changes the example.
	edit := func(pairs ...string) string {
		out := strings.NewReplacer(pairs...).Replace(example)
		if out == example {
			t.Fatalf("%q is not in the example", pairs)
		}
		return out
	}
	for _, test := range []struct {
		name, in string
		want     []string // parts of each error, in order
	}{
		{"empty", "", []string{"the file is empty"}},
		{"only comments", "# nothing\n---\n", []string{"the file is empty"}},
		{"a tab", edit("  metro", "\tmetro"), []string{"line 6: the line is indented with a tab"}},
		{"two documents", example + "---\n" + example, []string{"line 19: a second document"}},
		{"not YAML", "a: [", []string{"not YAML"}},
		{"not UTF-8", "a: \xff", []string{"UTF-8"}},
		{"a list", "[]", []string{"line 1: found a list: want a cluster: apiVersion, kind, metadata and spec"}},
		{"a word", "hello", []string{`found "hello": want a cluster: `}},
		{"unknown field", edit("replicas: 3", "replica: 3"), []string{"line 14: spec.controlPlane.replica: unknown field; did you mean replicas?; known here: replicas, size, sites"}},
		{"unknown field, other case", edit("maxRTT", "maxrtt"), []string{"line 9: spec.network.maxrtt: unknown field; did you mean maxRTT?"}},
		{"field of elsewhere", edit("  metro:", "  pods: 10.0.0.0/14\n  metro:"), []string{"line 6: spec.pods: unknown field; did you mean spec.network.pods?"}},
		{"merge", edit("  metro:", "  <<: {metro: x}\n  metro:"), []string{"line 6: spec.<<: merge keys are not read; write the fields out"}},
		{"anchor", edit("metro: us-east", "metro: &m us-east"), []string{"line 6: spec.metro: anchors and aliases"}},
		{"twice", edit("metro: us-east", "metro: us-east\n  metro: us-west"), []string{"line 7: spec.metro: given twice, first in line 6"}},
		{"number for a string", edit("name: demo", "name: 12"), []string{"line 3: metadata.name: found the number 12: want a string (2 to 50"}},
		{"string for a number", edit("replicas: 3", `replicas: "3"`), []string{`line 14: spec.controlPlane.replicas: found "3": want a whole number (1, 3, 5 or 7`}},
		{"hex", edit("count: 2", "count: 0x2"), []string{"line 16: spec.workers[0].count: found 0x2: want 0 to 500"}},
		{"truth value for a label", edit("team: data", "team: true"), []string{"line 17: spec.workers[1].labels[team]: found the truth value true: want a string"}},
		{"map for a list", edit("ssh: []", "ssh: {}"), []string{"line 13: spec.access.ssh: found a map: want a list"}},
		{"null is left out", edit("ssh: []", "ssh: ~", "size: small", "size: null"), nil},
		{"name", edit("name: demo", "name: Demo-"), []string{`line 3: metadata.name: found "Demo-": want 2 to 50`}},
		{"version", edit("v1.36.3", "v1.35.0"), []string{`line 5: spec.kubernetesVersion: found "v1.35.0": want v1.36.3`}},
		{"even control plane", edit("replicas: 3", "replicas: 4"), []string{"line 14: spec.controlPlane.replicas: found 4: want 1, 3, 5 or 7"}},
		{"zero control plane", edit("replicas: 3", "replicas: 0"), []string{"line 14: spec.controlPlane.replicas: found 0: want 1, 3, 5 or 7"}},
		{"no size", edit("size: small", `size: ""`), []string{`line 16: spec.workers[0].size: found "": want small, medium`}},
		{"count", edit("count: 2", "count: 501", "count: 1", "count: -1"), []string{"line 16: spec.workers[0].count: found 501: want 0 to 500", "line 17: spec.workers[1].count: found -1"}},
		{"everybody", edit("203.0.113.0/24", "0.0.0.0/0"), []string{"line 13: spec.access.api[0]: found 0.0.0.0/0: want an IPv4 range of /8 or smaller: never everybody"}},
		{"half of everybody", edit("203.0.113.0/24", "128.0.0.0/1, 0.0.0.0/1"), []string{"spec.access.api[0]", "spec.access.api[1]"}},
		{"an address", edit("203.0.113.0/24", "203.0.113.7"), []string{"did you mean 203.0.113.7/32?"}},
		{"host bits", edit("203.0.113.0/24", "203.0.113.7/24"), []string{"did you mean 203.0.113.0/24?"}},
		{"IPv6", edit("203.0.113.0/24", "'2001:db8::/32'"), []string{"want an IPv4 range"}},
		{"taint", edit("taints: []", "taints: [{key: a, effect: no}, {key: a}, x, {key: a, effect: NoSchedule}, {key: a, effect: NoSchedule}]"), []string{
			`taints[0].effect: found "no": want NoSchedule, PreferNoSchedule or NoExecute`, `taints[2]: found "x": want an object`,
			"taints[1].effect: missing", "taints[4]: found \"a\": there is a taint",
		}},
		{"labels", edit("team: data", "kubernetes.io/os: linux, a b: c, d: -e, example.com/f: g"), []string{
			"labels[kubernetes.io/os]", "labels[a b]", `labels[d]: found "-e"`,
		}},
		{"account", edit(", account: my-aws", ""), []string{"line 11: spec.sites[0].account: missing"}},
		{"same site", edit("name: gcp", "name: aws"), []string{`line 12: spec.sites[1].name: found "aws": spec.sites[0] has that name already`, `line 17: spec.workers[1].site: found "gcp": no site has that name; want one of aws`}},
		{"same group", edit("name: batch", "name: web"), []string{`line 17: spec.workers[1].name: found "web": spec.workers[0] has`}},
		{"site of a group", edit("site: aws", "site: asw"), []string{`line 16: spec.workers[0].site: found "asw": no site has that name; want one of aws, gcp; did you mean aws?`}},
		{"control plane at no site", edit("size: medium}\n  w", "size: medium, sites: [aws, aws, nobody]}\n  w"), []string{"spec.controlPlane.sites[1]: found \"aws\": named twice", "spec.controlPlane.sites[2]: found \"nobody\""}},
		{"overlap", edit("account: my-aws", "account: my-aws, block: 10.96.0.0/17"), []string{"line 11: spec.sites[0].block: found 10.96.0.0/17: overlaps with spec.network.services, 10.96.0.0/16"}},
		{"overlap of sites", edit("account: my-aws", "account: my-aws, block: 10.70.0.0/16", "account: my-gcp", "account: my-gcp, block: 10.70.240.0/20"), []string{"line 12: spec.sites[1].block: found 10.70.240.0/20: overlaps with spec.sites[0].block, 10.70.0.0/16"}},
		{"public block", edit("account: my-aws", "account: my-aws, block: 8.8.0.0/16"), []string{"private are 10.0.0.0/8"}},
		{"size of blocks", edit("account: my-aws", "account: my-aws, block: 10.0.0.0/15", "maxRTT: 10ms", "maxRTT: 10ms\n    pods: 10.1.0.0/23\n    services: 10.2.0.0/25"), []string{
			"spec.network.pods: found 10.1.0.0/23: want", "spec.network.services: found 10.2.0.0/25: want", "spec.sites[0].block: found 10.0.0.0/15: want",
		}},
		{"more nodes than pod blocks", edit("maxRTT: 10ms", "maxRTT: 10ms\n    pods: 10.1.0.0/22"), []string{"line 10: spec.network.pods: found 10.1.0.0/22: holds /24 blocks for 3 nodes, and the spec wants 6"}},
		{"long names", edit("name: demo", "name: d"+strings.Repeat("e", 49), "name: batch", "name: a2345678901234"), []string{"line 17: spec.workers[1].name: the node's name de"}},
		{"same node names", edit("name: batch", "name: gcp-cp"), []string{"line 17: spec.workers[1].name: the node's name demo-gcp-cp-1 is the same as one of spec.controlPlane.sites[1]"}},
		{"exclude", edit("count: 2", "count: 2, exclude: [1, 1, 0]"), []string{"exclude[2]: found 0: want 1 to 9999", "exclude[1]: found 1: given twice"}},
		{"everything at once", edit("kind: Cluster", "kind: Cluser", "replicas: 3", "replicas: 2", "site: gcp", "site: gpc", "name: web", "nam: web"), []string{
			"line 2: kind", "line 14: spec.controlPlane.replicas", "line 16: spec.workers[0].nam", "line 16: spec.workers[0].name: missing", "line 17: spec.workers[1].site",
		}},
		{"missing", "{}", []string{"apiVersion: missing", "kind: missing", "metadata.name: missing", "spec.sites: missing"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Load([]byte(test.in))
			errs, _ := errors.AsType[Errors](err)
			if len(errs) != len(test.want) || err != nil && errs == nil {
				t.Fatalf("%d errors; want %d:\n%v", len(errs), len(test.want), err)
			}
			for i, e := range errs {
				if !strings.Contains(e.Error(), test.want[i]) {
					t.Errorf("error %d is\n%s; want one that says\n%s", i, e, test.want[i])
				}
			}
		})
	}
}

func TestTooLarge(t *testing.T) {
	if _, err := Parse([]byte(strings.Repeat("#", MaxFile+1))); err == nil || !strings.Contains(err.Error(), "at most 1048576") {
		t.Errorf("a file too large: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte(smallest))
	f.Add([]byte("a: &x [*x]\n---\n\t"))
	f.Add([]byte("\xef\xbb\xbfapiVersion: 1\r\nkind: [\r\n"))
	f.Add([]byte("spec: {metro: !!binary aGk=, <<: {a: b}, controlPlane: {replicas: 0o3}}\nmetadata: {name: d\u0435mo}\n'"))
	f.Add([]byte(`{"spec":{"workers":[{"labels":{"a/b/c":"d"},"exclude":[1]}]},"status":{"x":[{}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data)
		if err != nil {
			errs, ok := errors.AsType[Errors](err)
			if !ok || len(errs) == 0 || c != nil {
				t.Fatalf("error %#v with cluster %v", err, c)
			}
			checkErrors(t, data, errs)
			return
		}
		again, err := Parse([]byte(asText(t, c)))
		if err != nil {
			t.Fatalf("what was read can be written and not read again: %v\n%s", err, asText(t, c))
		}
		if asText(t, again) != asText(t, c) {
			t.Fatalf("read\n%s\nand again\n%s", asText(t, c), asText(t, again))
		}
		Default(c)
		if errs := Validate(c); len(errs) > 0 {
			checkErrors(t, data, Locate(data, errs))
			return
		}
		if errs := Immutable(c, c); len(errs) > 0 {
			t.Fatalf("differs from itself: %v", errs)
		}
		checkPlan(t, c, nil)
	})
}
