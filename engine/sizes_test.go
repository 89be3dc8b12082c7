package engine

import (
	"errors"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
)

// ownTypes has the clouds' own types in the place of sizes.
const ownTypes = `apiVersion: skyweld.dev/v1alpha1
kind: Cluster
metadata: {name: demo}
spec:
  sites:
    - {name: one, account: acc-aws, region: us-east-1}
    - {name: two, account: acc-gcp, region: us-east4}
  controlPlane: {replicas: 3, size: CONTROL}
  workers:
    - {name: web, site: one, size: WEB, count: 2}
    - {name: batch, site: two, size: BATCH, count: 1}
`

func withTypes(control, web, batch string) []byte {
	return []byte(strings.NewReplacer("CONTROL", control, "WEB", web, "BATCH", batch).Replace(ownTypes))
}

// TestOwnTypesInTheFile refuses what no machine of a role can be of by the line that asks for it, and takes all else.
func TestOwnTypesInTheFile(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	for _, c := range []struct {
		control, web, batch string
		want                []string
	}{
		{"medium", "t3.nano", "e2-micro", nil},
		{"nobody-knows-it", "t9.colossal", "e9-standard-4", nil},
		{"medium", "m7g.large", "t2a-standard-4", []string{
			`line 10: spec.workers[0].size: found "m7g.large": it is for arm64; Skyweld's machines are amd64 for site one`,
			`line 11: spec.workers[1].size: found "t2a-standard-4": it is for arm64; Skyweld's machines are amd64 for site two`,
		}},
		{"t3.nano", "small", "small", []string{`line 8: spec.controlPlane.size: found "t3.nano": it has 0.5 GiB of memory; a control-plane machine needs at least 2 vCPUs and 2 GiB for site one`}},
		{"e2-micro", "small", "small", []string{`line 8: spec.controlPlane.size: found "e2-micro": it has 1 GiB of memory; a control-plane machine needs at least 2 vCPUs and 2 GiB for site two`}},
	} {
		_, err := s.engine.Plan(t.Context(), withTypes(c.control, c.web, c.batch))
		if len(c.want) == 0 {
			if err != nil {
				t.Errorf("%s, %s, %s: %v", c.control, c.web, c.batch, err)
			}
			continue
		}
		if err == nil || strings.Count(err.Error(), "found ") != len(c.want) {
			t.Errorf("%s, %s, %s: %v, want %q", c.control, c.web, c.batch, err, c.want)
			continue
		}
		wantAll(t, err.Error(), c.want...)
	}
}

// TestRefusedByField names the fields that ask for a type which one of the zones doesn't have, each once.
func TestRefusedByField(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	s.clouds[cloud.AWS].SetTypes(map[string][]string{"us-east-1a": {"t4", "t8"}, "us-east-1b": {"t8"}, "us-east-1c": {"t4", "t8"}})
	_, err := s.engine.Plan(t.Context(), withTypes("medium", "t4", "small"))
	if _, ok := errors.AsType[*Refused](err); !ok {
		t.Fatalf("the plan: %v", err)
	}
	wantAll(t, err.Error(), `site one (account acc-aws, us-east-1): spec.controlPlane.size: found "medium", spec.workers[0].size: found "t4": `+
		"machine type t4: it is not offered in us-east-1b, only in us-east-1a, us-east-1c; the nearest there are t8; ask for another size")
	if strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("more than the one problem: %v", err)
	}
}
