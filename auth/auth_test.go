package auth

import (
	"context"
	"testing"
)

func TestRoles(t *testing.T) {
	for i, r := range Roles {
		for j, other := range Roles {
			if got := r.Includes(other); got != (i >= j) {
				t.Errorf("%s includes %s: %v", r, other, got)
			}
		}
		if Role("").Includes(r) || r.Includes("") || Role("root").Includes(r) {
			t.Errorf("a role that there isn't has rights beside %s", r)
		}
	}
	if p := From(context.Background()); p.Role.Includes(Viewer) {
		t.Errorf("nobody is %+v", p)
	}
}
