package azure

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/cloud"
)

// TestRole holds the role for users against the list of permissions.
func TestRole(t *testing.T) {
	text, err := os.ReadFile("../../docs/accounts/azure-role.json")
	if err != nil {
		t.Fatal(err)
	}
	var role struct {
		Name             string   `json:"Name"`
		IsCustom         bool     `json:"IsCustom"`
		Actions          []string `json:"Actions"`
		NotActions       []string `json:"NotActions"`
		AssignableScopes []string `json:"AssignableScopes"`
	}
	if err := json.Unmarshal(text, &role); err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(role.Actions) || len(role.NotActions) > 0 || !role.IsCustom || len(role.AssignableScopes) != 1 {
		t.Errorf("role %+v: want sorted actions and one scope", role)
	}
	for _, a := range role.Actions {
		if _, ok := permissions[a]; !ok {
			t.Errorf("the role has %s, which nothing needs", a)
		}
		if strings.Contains(a, "*") {
			t.Errorf("the role has a wildcard: %s", a)
		}
	}
	for a, kinds := range permissions {
		if !slices.Contains(role.Actions, a) {
			t.Errorf("the role lacks %s", a)
		}
		for _, k := range kinds {
			if !slices.ContainsFunc((*Driver)(nil).Kinds(), func(i cloud.KindInfo) bool { return i.Kind == k }) {
				t.Errorf("%s is for the creation of %s, which is no kind", a, k)
			}
		}
	}
}

// TestProbes wants every probe to be of a permission in the list, and every permission to make or delete to be tried
// where that can be done.
func TestProbes(t *testing.T) {
	tried := map[string]bool{}
	for _, p := range (&Driver{}).probes(t.Context(), fakeRegion, "absent") {
		tried[p.action] = true
		if _, ok := permissions[p.action]; !ok {
			t.Errorf("%s is tried, and nothing needs it", p.action)
		}
	}
	for a := range permissions {
		if (strings.HasSuffix(a, "/write") || strings.HasSuffix(a, "/delete")) && !tried[a] {
			t.Errorf("%s is not tried", a)
		}
	}
}
