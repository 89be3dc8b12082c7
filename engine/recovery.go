package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/node"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// recoverPatience is how long etcd and the API server may take to be back after their majority was made of one.
const recoverPatience = 12 * time.Minute

// approvedKey is the context key under which a dry run says who would approve.
type approvedKey struct{}

// Approve asks for a run that may do what only people decide: make a lost control plane again of what is left of it, and go on
// with sites that were measured to be too far apart. It is good for that one run.
func (e *Engine) Approve(ctx context.Context, name, who string) (store.Change, error) {
	return e.alter(ctx, name, who, store.Approve, nil)
}

// PlanApprove says what a run after Approve would do.
func (e *Engine) PlanApprove(ctx context.Context, name, who string) (Planned, error) {
	return e.PlanReconcile(context.WithValue(ctx, approvedKey{}, who), name)
}

// endApprovals ends those that a run which failed was good for: what is left may be another by the next one.
func (e *Engine) endApprovals(ctx context.Context, fence store.Fence, failure string) error {
	changes, err := e.store.ListChanges(ctx, fence.Cluster, store.Applying)
	if err != nil {
		return err
	}
	for _, ch := range changes {
		if ch.Kind != store.Approve {
			continue
		}
		if err := e.store.SetChange(ctx, fence, ch.ID, store.Failed, 0, failure); err != nil {
			return err
		}
	}
	return nil
}

// approval is who approved what only people may decide, in this run or for this dry run.
func (s *survey) approval(ctx context.Context) (string, error) {
	who, _ := ctx.Value(approvedKey{}).(string)
	changes, err := s.e.store.ListChanges(ctx, s.cluster.UID, store.Applying)
	if err != nil {
		return "", err
	}
	for _, ch := range changes {
		if ch.Kind == store.Approve {
			who = ch.Who
		}
	}
	return who, nil
}

// weigh adds to a plan's input what it needs to know of a control plane that is lost.
func (s *survey) weigh(ctx context.Context, in *plan.Input) error {
	if s.loss = in.Loss(); s.loss == nil {
		return nil
	}
	in.Approved = s.approved
	snapshots, err := s.e.store.ListSnapshots(ctx, s.cluster.UID)
	if err != nil || len(snapshots) == 0 {
		return err
	}
	s.snapshot = snapshots[0]
	in.Snapshot = fmt.Sprintf("the snapshot %d of etcd from %s", s.snapshot.ID, s.snapshot.Taken.UTC().Format("2006-01-02 15:04:05 MST"))
	return nil
}

// lossErr says that the control plane is lost and that this plan does nothing about it, and why.
func (s *survey) lossErr() error {
	if s.loss == nil || slices.ContainsFunc(s.graph.Steps, func(st plan.Step) bool { return st.Action == plan.Recover || st.Action == plan.Restore }) {
		return nil
	}
	for _, n := range s.graph.Notes {
		if strings.HasPrefix(n, s.loss.String()) {
			return errors.New(n)
		}
	}
	return errors.New(s.loss.String())
}

// unmended is what no step can do anything about now: sites that could not be observed, a control plane that is lost.
func (s *survey) unmended() error { return errors.Join(s.unknownErr(), s.lossErr(), s.emptyErr()) }

// emptyErr says that Kubernetes lost its data, where it isn't lost as a whole: a part of it may be left on machines that
// don't answer.
func (s *survey) emptyErr() error {
	if s.loss != nil || !errors.Is(s.kubeErr, errEmptied) {
		return nil
	}
	return fmt.Errorf("%w; nothing is done in Kubernetes. What is lost with it may be left on control-plane machines whose etcd doesn't answer: "+
		"mend them, or delete them, and what is left or the last snapshot is taken", s.kubeErr)
}

// planeType is the condition that tells of a control plane that was lost.
const planeType = "ControlPlane"

// planeCondition is that condition, of clusters that have it: it comes with a loss, and is true again after it.
func (s *survey) planeCondition(old []store.Condition) []store.Condition {
	c := store.Condition{Type: planeType, Status: conditionTrue, Reason: "Whole", Message: "etcd has its majority", Since: time.Now().UTC()}
	switch err := s.lossErr(); {
	case s.spec == nil: // nothing was looked at
		return nil
	case err != nil:
		c.Status, c.Reason, c.Message = conditionFalse, "MajorityLost", err.Error()
	case s.emptyErr() != nil:
		c.Status, c.Reason, c.Message = conditionFalse, "DataLost", s.emptyErr().Error()
	case !slices.ContainsFunc(old, func(o store.Condition) bool { return o.Type == planeType }):
		return nil
	}
	return []store.Condition{c}
}

// rememberSilence notes since when the etcd of a control-plane node doesn't answer.
func (r *run) rememberSilence(ctx context.Context) error {
	for _, n := range r.nodes {
		f := r.facts.get(n.Name)
		if f == nil || r.silent(n.Name) == !f.Silent.IsZero() && !f.Silent.After(r.now) || r.council == nil { // after now: the clock was set back
			continue
		}
		if err := r.changeFacts(ctx, n.Name, func(f *Facts) {
			if f.Silent = r.now; !r.silent(n.Name) {
				f.Silent = time.Time{}
			}
		}); err != nil {
			return err
		}
	}
	return nil
}

// recoverNode makes what etcd has on a node a cluster of one member.
func (r *run) recoverNode(ctx context.Context, name string) error {
	conn, err := r.connect(ctx, r.facts.get(name), time.Minute)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := r.mayGoOn(ctx); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, recoverPatience)
	defer cancel()
	if _, err := conn.Run(wait, agentPath+" agent lone-etcd", nil, nil); err != nil {
		return err
	}
	if err := r.seatOnly(ctx, name); err != nil {
		return err
	}
	r.warn(ctx, "ControlPlaneRecovered", "node "+name, "etcd is made of what this node had; what only the lost members knew is gone")
	return r.awaitReady(ctx, name)
}

// seatOnly records that etcd has one member.
func (r *run) seatOnly(ctx context.Context, name string) error {
	for _, f := range r.facts.all() {
		joined, seat := f.Joined && (f.Role != spec.RoleControlPlane || f.Name == name), ""
		if f.Name == name {
			seat = f.Machine
		}
		if seat == f.Seat && joined == f.Joined {
			continue
		}
		if err := r.changeFacts(ctx, f.Name, func(f *Facts) { f.Joined, f.Seat = joined, seat }); err != nil {
			return err
		}
	}
	return nil
}

// takeSeat records, before kubeadm makes it so, that etcd counts a node's machine as a member.
func (r *run) takeSeat(ctx context.Context, name string) error {
	r.unseated.Delete(name)
	return r.changeFacts(ctx, name, func(f *Facts) { f.Seat = f.Machine })
}

// restoreNode makes a control plane of one node out of a snapshot of etcd.
func (r *run) restoreNode(ctx context.Context, name string) error {
	data, err := r.e.store.GetSnapshot(ctx, r.cluster.UID, r.snapshot.ID)
	if err != nil {
		return err
	}
	f := r.facts.get(name)
	conn, err := r.connect(ctx, f, time.Minute)
	if err != nil {
		return err
	}
	defer conn.Close()
	member, err := r.member(name)
	if err != nil {
		return err
	}
	token, err := kube.NewToken()
	if err != nil {
		return err
	}
	r.scrubber.add(token)
	boot := node.Bootstrap{Action: "init", Files: r.keys.PKI.Files(), Again: true, Snapshot: &node.Snapshot{
		File: node.SnapshotFile, Member: name, Peer: fmt.Sprintf("https://%s:2380", member.Address),
	}}
	if boot.Config, err = kube.InitConfig(r.kubeCluster(), member, token); err != nil {
		return err
	}
	if err := conn.Upload(ctx, bytes.NewReader(data), node.SnapshotFile, 0o600); err != nil {
		return err
	}
	if err := r.kubeadm(ctx, conn, name, boot); err != nil {
		return err
	}
	r.status.Etcd, r.status.Identity = "", "" // it begins another cluster, as etcd sees it; the one that was approved is it now
	if err := r.e.saveStatus(ctx, r.fence, store.Reconciling, r.survey); err != nil {
		return err
	}
	if err := r.seatOnly(ctx, name); err != nil {
		return err
	}
	r.warn(ctx, "ControlPlaneRestored", "node "+name, fmt.Sprintf("etcd is made of the snapshot %d of %s; what was changed in Kubernetes since then is gone",
		r.snapshot.ID, r.snapshot.Taken.UTC().Format("2006-01-02 15:04:05 MST")))
	if err := r.replaceOldNode(ctx, conn, name); err != nil {
		return err
	}
	return r.awaitReady(ctx, name)
}

// replaceOldNode takes out the Node that a restored etcd has of the machine before this one, and lets the kubelet register
// itself, which it does when it starts.
func (r *run) replaceOldNode(ctx context.Context, conn Machine, name string) error {
	client, err := r.kubeClient()
	if err != nil {
		return err
	}
	was, err := retryPlain(ctx, readyPatience, func(ctx context.Context) (kube.NodeInfo, error) { return client.Node(ctx, name) })
	if err != nil || was.ProviderID == r.facts.get(name).ProviderID {
		return err
	}
	if err := client.DeleteNode(ctx, name); err != nil {
		return err
	}
	return r.startKubelet(ctx, conn)
}

// kubeadm runs kubeadm on a machine.
func (r *run) kubeadm(ctx context.Context, conn Machine, name string, boot node.Bootstrap) error {
	data, err := json.Marshal(boot)
	if err != nil {
		return err
	}
	if err := r.mayGoOn(ctx); err != nil {
		return err
	}
	if len(boot.Files) > 0 {
		if err := r.takeSeat(ctx, name); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, kubeadmPatience)
	defer cancel()
	if _, err := conn.Run(ctx, agentPath+" agent kubeadm", bytes.NewReader(data), nil); err != nil {
		full, short, ok := kubeadmError(name, boot.Action, err)
		if ok {
			r.failed(ctx, name, r.facts.get(name).Machine, false, short)
		}
		return full
	}
	return nil
}
