package cloud_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
)

func TestBlockersOf(t *testing.T) {
	a := cloud.Blocker{Kind: "instance", ID: "i-1", Name: "db", Owner: "tags team=data"}
	b := cloud.Blocker{Kind: "subnet", ID: "s-1"}
	refusal := &cloud.Error{Class: cloud.Conflict, Op: "delete vpc x", Message: "in use"}
	first, second := cloud.HeldBy(refusal, b, a), cloud.HeldBy(refusal, a)
	tree := errors.Join(fmt.Errorf("one: %w", first), errors.New("two"), fmt.Errorf("three: %w", errors.Join(second, refusal)))
	got, held := cloud.BlockersOf(tree)
	if diff := cmp.Diff([]cloud.Blocker{a, b}, got); diff != "" || !held {
		t.Errorf("held %v (-want +got):\n%s", held, diff)
	}
	const want = "delete vpc x: in use; in its way is what isn't Skyweld's: instance i-1 named db (tags team=data), subnet s-1; move or delete that first"
	if first.Error() != want || refusal.Held {
		t.Errorf("said %q, want %q", first, want)
	}
	if list, held := cloud.BlockersOf(fmt.Errorf("x: %w", refusal)); held || len(list) > 0 {
		t.Errorf("a plain conflict is held: %v", list)
	}
	if list, held := cloud.BlockersOf(&cloud.Error{Class: cloud.Conflict, Held: true}); !held || len(list) > 0 {
		t.Errorf("what is held by nothing of a name: %v %v", list, held)
	}
	if list, held := cloud.BlockersOf(nil); held || list != nil {
		t.Errorf("of no error: %v", list)
	}
	if got := cloud.OwnerIn(map[string]string{"e": "", "d": "4", "c": "3", "b": "2", "a": "1"}); got != "tags a=1, b=2, c=3, d=4, …" {
		t.Errorf("said %q", got)
	}
}
