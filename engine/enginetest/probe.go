package enginetest

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/skyweld/skyweld/kube"
)

// certificateLife is how long certificates of API servers are good, as kubeadm's.
const certificateLife = 365 * 24 * time.Hour

// Probe asks the API server at an address, host and port, whether it is ready: it is while its machine runs and etcd has its
// quorum.
func (w *World) Probe(ctx context.Context, address string) (seen kube.Endpoint, err error) {
	err = w.around(ctx, "probe "+address, func() error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		m, err := w.at(ctx, at.Addr())
		if err != nil {
			return err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if _, ok := w.Members[m.Name]; !ok {
			return fmt.Errorf("connect to %s: connection refused", address)
		}
		if seen.NotAfter = w.Expiry[m.Name]; seen.NotAfter.IsZero() {
			seen.NotAfter = time.Now().Add(certificateLife)
		}
		if !w.Quorum() {
			return fmt.Errorf("it is not ready (500 Internal Server Error): etcd")
		}
		return nil
	})
	return seen, err
}

// Knock finds out whether a machine lets one in by SSH.
func (w *World) Knock(ctx context.Context, address netip.Addr) error {
	return w.around(ctx, "knock at "+address.String(), func() error {
		m, err := w.at(ctx, address)
		if err == nil && w.Reach != nil {
			err = w.Reach(ctx, m)
		}
		return err
	})
}

// at is the running machine at an address.
func (w *World) at(ctx context.Context, address netip.Addr) (Machine, error) {
	for _, m := range w.Machines() {
		if m.Public == address {
			return m, ctx.Err()
		}
	}
	return Machine{}, fmt.Errorf("connect to %s: no route to host", address)
}
