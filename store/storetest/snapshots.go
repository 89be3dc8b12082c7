package storetest

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/store"
)

func testSnapshots(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	var all []store.Snapshot
	for n := range 4 {
		v := store.Snapshot{Member: "demo-aws-cp-1", Revision: int64(100 + n), Size: 32768}
		all = append(all, get[store.Snapshot](t)(s.AddSnapshot(ctx, fence, v, bytes.Repeat([]byte{byte(n)}, 1000), 2)))
	}
	got := get[[]store.Snapshot](t)(s.ListSnapshots(ctx, fence.Cluster))
	if diff := cmp.Diff([]store.Snapshot{all[3], all[2]}, got); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	if v := got[0]; v.Cluster != fence.Cluster || v.Revision != 103 || v.Size != 32768 || v.Packed != 1000 || v.Taken.IsZero() {
		t.Errorf("the last one is %+v", v)
	}
	if data := get[[]byte](t)(s.GetSnapshot(ctx, fence.Cluster, got[1].ID)); !bytes.Equal(data, bytes.Repeat([]byte{2}, 1000)) {
		t.Errorf("its data is %x", data)
	}
	_, err := s.GetSnapshot(ctx, fence.Cluster, all[0].ID)
	wantError(t, err, store.ErrNotFound)
	lost := fence
	lost.Epoch--
	_, err = s.AddSnapshot(ctx, lost, store.Snapshot{}, nil, 2)
	wantError(t, err, store.ErrFenced)
	must(t, s.MarkDeleted(ctx, fence))
	if left := get[[]store.Snapshot](t)(s.ListSnapshots(ctx, fence.Cluster)); len(left) > 0 {
		t.Errorf("of a cluster that is gone there is %v", left)
	}
}
