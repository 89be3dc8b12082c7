package azure

import (
	"context"
	"fmt"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"

	"github.com/skyweld/skyweld/cloud"
)

// tagToken is the tag of a machine that says which creation it is of: Azure never shows the user data again, by which the
// one could be told from another.
const tagToken = "skyweld-creation"

// Create makes one resource under its deterministic name, with its mark in the creating call. What is there already under
// that name and bears the mark is what an earlier try has made, or is still making.
func (d *Driver) Create(ctx context.Context, req cloud.CreateRequest) (cloud.Object, error) {
	o, err := d.create(ctx, req)
	return o, failed(fmt.Sprintf("create %s %s", req.Resource.Kind, req.Resource.Key), err)
}

func (d *Driver) create(ctx context.Context, req cloud.CreateRequest) (cloud.Object, error) {
	w, err := d.work(req.Owner, req.Resource, req.Refs)
	if err != nil {
		return cloud.Object{}, err
	}
	if err := cloud.CheckToken(req.Token); err != nil {
		return cloud.Object{}, err
	}
	w.token, w.userData = req.Token, req.UserData
	if w.res.Kind == kindMachine && len(w.userData) == 0 {
		return cloud.Object{}, invalid("a machine needs user data")
	}
	now, err := w.settled(ctx)
	switch {
	case isClass(err, cloud.NotFound):
		return w.begin(ctx)
	case err != nil:
		return cloud.Object{}, err
	}
	if err := w.owned(now.object); err != nil {
		return cloud.Object{}, err
	}
	// A machine that runs is there, though Azure's agent on it may never have said so.
	if now.provisioning != stateFailed || w.res.Kind == kindMachine && now.object.State == cloud.Ready {
		return now.object, w.sameCreation(now)
	}
	// An earlier try failed, and Azure keeps what it failed to make.
	if w.res.Kind == kindMachine {
		if err := unlessGone(w.d.removeMachine(ctx, w.owner, parsePath(w.path()))); err != nil {
			return cloud.Object{}, fmt.Errorf("remove what is left of an earlier try: %w", err)
		}
	}
	return w.begin(ctx)
}

// begin makes the resource, and clears away a machine that Azure refused to make only after it had begun: it would stay as
// one that failed, and be in the way of its interface and address.
func (w *work) begin(ctx context.Context) (cloud.Object, error) {
	o, err := w.put(ctx)
	if err == nil || w.res.Kind != kindMachine {
		return o, w.discreet(err)
	}
	switch classify(err).Class {
	case cloud.Capacity, cloud.QuotaExceeded, cloud.Invalid, cloud.Denied:
	default:
		return o, w.discreet(err)
	}
	left, gerr := w.get(ctx)
	if gerr == nil && w.owned(left.object) == nil && left.provisioning == stateFailed && left.token == w.token {
		if rerr := unlessGone(w.d.removeMachine(ctx, w.owner, parsePath(w.path()))); rerr != nil {
			return o, w.discreet(fmt.Errorf("%w; and what was begun could not be removed: %w", err, rerr))
		}
	}
	return o, w.discreet(err)
}

// work is one resource being made or changed.
type work struct {
	d        *Driver
	owner    cloud.Owner
	res      cloud.Resource
	want     spec
	refs     map[string]cloud.Object
	group    string
	name     string
	token    string
	userData []byte
}

func (d *Driver) work(owner cloud.Owner, res cloud.Resource, refs map[string]cloud.Object) (*work, error) {
	if err := cloud.CheckMark(owner, res); err != nil {
		return nil, err
	}
	s, ok := res.Spec.(spec)
	if !ok || s.kind() != res.Kind {
		return nil, invalid("kind %q takes no %T", res.Kind, res.Spec)
	}
	return &work{
		d: d, owner: owner, res: res, want: s.clone(), refs: refs, group: owner.ResourceName(groupKey(res.Site)), name: owner.ResourceName(res.Key),
	}, nil
}

func (w *work) path() string { return w.d.path(w.res.Kind, w.group, w.name) }

// ref is the path of the resource that a key stands for.
func (w *work) ref(key string) (string, error) {
	p, err := parseID(w.refs[key].ID)
	if err != nil {
		return "", invalid("the request doesn't say what %q is", key)
	}
	return p.path, nil
}

// names turns what the references stand for back into keys.
func (w *work) names() names {
	n := names{}
	for key, o := range w.refs {
		if p, err := parseID(o.ID); err == nil {
			n[p.path] = key
		}
	}
	return n
}

// tags is the mark, beside what others have put there.
func (w *work) tags(others map[string]*string) map[string]*string {
	return marked(others, w.owner.UID, w.res.Key)
}

// marked are tags with a mark.
func marked(others map[string]*string, cluster, key string) map[string]*string {
	out := map[string]*string{}
	for k, v := range others {
		if !strings.EqualFold(k, cloud.TagCluster) && !strings.EqualFold(k, cloud.TagKey) {
			out[k] = v
		}
	}
	out[cloud.TagCluster], out[cloud.TagKey] = &cluster, &key
	return out
}

// owned refuses what has our name and isn't marked as ours.
func (w *work) owned(o cloud.Object) error {
	if o.Cluster == w.owner.UID && o.Key == w.res.Key {
		return nil
	}
	return &cloud.Error{Class: cloud.AlreadyExists, Message: o.ID + " has that name and isn't marked as this cluster's " + w.res.Key}
}

// sameCreation wants a machine that is there already to be of this creation: one with other user data has another host key.
func (w *work) sameCreation(now found) error {
	if w.res.Kind != kindMachine || now.token == w.token {
		return nil
	}
	return &cloud.Error{Class: cloud.AlreadyExists, Message: now.object.ID + " is there from another creation"}
}

// The states of a resource's own record that matter here. All others are on the way to one of them.
const (
	stateSucceeded = "Succeeded"
	stateFailed    = "Failed"
	stateCanceled  = "Canceled"
	stateDeleting  = "Deleting"
)

// found is what is there.
type found struct {
	object       cloud.Object
	provisioning string
	token        string
}

// settled reads the resource until nothing is being done to it: that is how a call whose end nobody saw is waited for.
func (w *work) settled(ctx context.Context) (found, error) {
	for wait := firstPause; ; wait = min(wait*3/2, lastPause) {
		now, err := w.get(ctx)
		if err != nil {
			return now, err
		}
		switch now.provisioning {
		case stateSucceeded, stateFailed, "":
			return now, nil
		case stateCanceled:
			now.provisioning = stateFailed
			return now, nil
		case stateDeleting:
			if w.res.Kind == kindGroup {
				return now, &cloud.Error{Class: cloud.Conflict, Code: "ResourceGroupBeingDeleted", Message: w.name + " is being removed"}
			}
		}
		if err := cloud.Pause(ctx, wait); err != nil {
			return now, err
		}
	}
}

// get reads the resource by its name.
func (w *work) get(ctx context.Context) (found, error) { return w.getAt(ctx, parsePath(w.path())) }

// getAt reads what is at a place now.
func (w *work) getAt(ctx context.Context, at place) (found, error) {
	d := w.d
	switch w.res.Kind {
	case kindGroup:
		x, err := d.groups.Get(ctx, at.group, nil)
		if err != nil {
			return found{}, err
		}
		state := ""
		if x.Properties != nil {
			state = val(x.Properties.ProvisioningState)
		}
		return found{object: groupObject(&x.ResourceGroup), provisioning: state}, nil
	case kindSecurity:
		x, err := d.securities.Get(ctx, at.group, at.name, nil)
		if err != nil {
			return found{}, err
		}
		return found{object: securityObject(&x.SecurityGroup), provisioning: netState(x.Properties, func(p *armnetwork.SecurityGroupPropertiesFormat) *armnetwork.ProvisioningState {
			return p.ProvisioningState
		})}, nil
	case kindNetwork:
		x, err := d.networks.Get(ctx, at.group, at.name, nil)
		if err != nil {
			return found{}, err
		}
		return found{object: networkObject(&x.VirtualNetwork), provisioning: netState(x.Properties, func(p *armnetwork.VirtualNetworkPropertiesFormat) *armnetwork.ProvisioningState {
			return p.ProvisioningState
		})}, nil
	case kindAddress:
		x, err := d.addresses.Get(ctx, at.group, at.name, nil)
		if err != nil {
			return found{}, err
		}
		return found{object: addressObject(&x.PublicIPAddress), provisioning: netState(x.Properties, func(p *armnetwork.PublicIPAddressPropertiesFormat) *armnetwork.ProvisioningState {
			return p.ProvisioningState
		})}, nil
	case kindInterface:
		x, err := d.interfaces.Get(ctx, at.group, at.name, nil)
		if err != nil {
			return found{}, err
		}
		return found{object: interfaceObject(&x.Interface, w.names()), provisioning: netState(x.Properties, func(p *armnetwork.InterfacePropertiesFormat) *armnetwork.ProvisioningState {
			return p.ProvisioningState
		})}, nil
	case kindMachine:
		return w.getMachine(ctx, at)
	}
	return found{}, invalid("resources of kind %q are not read by themselves", w.res.Kind)
}

// netState is the provisioning state of a network's part.
func netState[P any](properties *P, state func(*P) *armnetwork.ProvisioningState) string {
	if properties == nil {
		return ""
	}
	return string(val(state(properties)))
}

// discreet takes user data out of an error: an answer may repeat what it refuses. Azure gets it in base64, in which other
// lengths before it make other letters, so any long piece of that counts too.
func (w *work) discreet(err error) error {
	if err == nil {
		return nil
	}
	e := classify(err)
	if !cloud.ShowsUserData(err.Error()+e.Message, w.userData, pieces(customData(w.userData), 32)...) {
		return err
	}
	return e.Hidden()
}

// pieces cuts a text up.
func pieces(text string, n int) []string {
	var out []string
	for len(text) >= n {
		out, text = append(out, text[:n]), text[n:]
	}
	return out
}
