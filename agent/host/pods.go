package host

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// podNamespaces are the network namespaces of pods, by containerd's names (pkg/netns).
const podNamespaces = "/run/netns/cni-*"

// PodNamespaces are the files that hold the network namespaces of pods.
func (m *Machine) PodNamespaces() ([]string, error) { return filepath.Glob(m.Path(podNamespaces)) }

// SetPodMTU gives the devices of all running pods, at both ends, an MTU, and says how many pods that changed. New pods get theirs from
// the pod network's config.
func (m *Machine) SetPodMTU(mtu int) (changed int, err error) {
	names, err := m.PodNamespaces()
	if err != nil {
		return 0, err
	}
	var problems []error
	for _, name := range names {
		did, err := setPodMTU(name, mtu)
		if did {
			changed++
		}
		if err != nil && !gone(err) {
			problems = append(problems, fmt.Errorf("set MTU of the pod at %s: %w", filepath.Base(name), err))
		}
	}
	return changed, errors.Join(problems...)
}

// gone says that a pod ended meanwhile: its file is there no more, or is no namespace any more, or its device isn't there.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENODEV) || errors.As(err, &netlink.LinkNotFoundError{})
}

func setPodMTU(name string, mtu int) (changed bool, err error) {
	space, err := netns.GetFromPath(name)
	if err != nil {
		return false, err
	}
	defer space.Close()
	pod, err := netlink.NewHandleAt(space)
	if err != nil {
		return false, err
	}
	defer pod.Close()
	links, err := pod.LinkList()
	if err != nil {
		return false, err
	}
	for _, inner := range links {
		if inner.Type() != "veth" {
			continue
		}
		outer, err := netlink.LinkByIndex(inner.Attrs().ParentIndex)
		if err != nil {
			return changed, err
		}
		if outer.Type() != "veth" {
			continue
		}
		set := []func() error{func() error { return pod.LinkSetMTU(inner, mtu) }, func() error { return netlink.LinkSetMTU(outer, mtu) }}
		if inner.Attrs().MTU == mtu && outer.Attrs().MTU == mtu {
			continue
		}
		// An end drops what is larger than its own MTU: the machine's end is the larger one on the way.
		if inner.Attrs().MTU < mtu {
			set[0], set[1] = set[1], set[0]
		}
		changed = true
		for _, do := range set {
			if err := do(); err != nil {
				return changed, err
			}
		}
	}
	return changed, nil
}
