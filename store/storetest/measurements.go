package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/store"
)

func testMeasurements(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	at := time.Date(2026, 11, 23, 2, 3, 4, 5000, time.UTC)
	m := store.Measurement{A: "gcp/us-east4", B: "aws/us-east-1", At: at, Sent: 3000, Received: 2999, P50: 1500 * time.Microsecond, P99: 4 * time.Millisecond, Bits: 940e6}
	other := store.Measurement{A: "aws/us-east-1", B: "azure/eastus", At: at, Sent: 10, Received: 10, P50: time.Millisecond, P99: time.Millisecond}
	must(t, s.PutMeasurements(ctx, fence, []store.Measurement{m, other}))
	m.A, m.B, m.At, m.P50 = m.B, m.A, at.Add(time.Hour), 2*time.Millisecond
	must(t, s.PutMeasurements(ctx, fence, []store.Measurement{m}))
	m.Cluster, other.Cluster = fence.Cluster, fence.Cluster
	want := []store.Measurement{other, m}
	if diff := cmp.Diff(want, get[[]store.Measurement](t)(s.ListMeasurements(ctx))); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	lost := fence
	lost.Epoch--
	wantError(t, s.PutMeasurements(ctx, lost, []store.Measurement{m}), store.ErrFenced)
	must(t, s.MarkDeleted(ctx, fence))
	if diff := cmp.Diff(want, get[[]store.Measurement](t)(s.ListMeasurements(ctx))); diff != "" {
		t.Errorf("when the cluster is gone (-want +got):\n%s", diff)
	}
}
