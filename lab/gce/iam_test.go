package gce

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestIAMPermissions asks which permissions there are, as Cloud Resource Manager answers it.
func TestIAMPermissions(t *testing.T) {
	denied := ""
	l := newLab(t, func(c *Config) { c.Denied = func(method string) bool { return method == denied } })
	ask := func(version, project string, permissions ...string) (int, []string, string) {
		body, err := json.Marshal(map[string]any{"permissions": permissions})
		if err != nil {
			t.Fatal(err)
		}
		code, answer := l.raw(http.MethodPost, "/"+version+"/projects/"+project+":testIamPermissions", string(body))
		var out struct {
			Permissions []string `json:"permissions"`
		}
		if err := json.Unmarshal([]byte(answer), &out); err != nil {
			t.Fatalf("%s: %v", answer, err)
		}
		return code, out.Permissions, answer
	}
	all := []string{"compute.instances.create", "compute.instances.list", "compute.subnetworks.use"}
	for _, version := range []string{"v1", "v3"} {
		if code, held, _ := ask(version, testProject, all...); code != 200 || !slices.Equal(held, all) {
			t.Errorf("%s: %d %v", version, code, held)
		}
	}
	denied = "compute.instances.insert"
	if code, held, _ := ask("v1", testProject, all...); code != 200 || !slices.Equal(held, all[1:]) {
		t.Errorf("without one: %d %v", code, held)
	}
	denied = "compute.instances.aggregatedList"
	if _, held, _ := ask("v1", testProject, "compute.instances.list"); len(held) != 0 {
		t.Errorf("without the only one: %v", held)
	}
	if code, _, answer := ask("v1", testProject, "everything"); code != 400 || !strings.Contains(answer, "not valid") {
		t.Errorf("no permission's name: %d %s", code, answer)
	}
	if code, _, _ := ask("v1", "another-project", all...); code != 403 {
		t.Errorf("another project: %d", code)
	}
}
