package cloud_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
)

func TestFields(t *testing.T) {
	kinds := []cloud.KindInfo{{Kind: "net"}, {Kind: "firewall", Mutable: []string{"rules"}}, {Kind: "machine", Mutable: []string{"tags"}, Machine: true}}
	for kind, want := range map[cloud.Kind][]string{
		"net": {cloud.FieldMark}, "firewall": {"rules", cloud.FieldMark}, "machine": {"tags", cloud.FieldState, cloud.FieldMark}, "disk": nil,
	} {
		if diff := cmp.Diff(want, cloud.MutableFields(kinds, kind)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", kind, diff)
		}
	}
	if err := cloud.CheckFields([]string{"tags", cloud.FieldState}, []string{cloud.FieldState}); err != nil {
		t.Error(err)
	}
	if err := cloud.CheckFields([]string{"tags"}, []string{"tags", "zone"}); cloud.ClassOf(err) != cloud.Invalid || !strings.Contains(err.Error(), `"zone"`) {
		t.Errorf("a field that can't be changed: %v", err)
	}
}
