package agent

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/skyweld/skyweld/agent/host"
)

func TestRemovePodNetworks(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it mounts a namespace")
	}
	m := &host.Machine{Root: t.TempDir()}
	for _, name := range []string{"cni-1", "cni-2", "others"} {
		if _, err := m.Write("/run/netns/"+name, nil, 0o444); err != nil {
			t.Fatal(err)
		}
	}
	held := m.Path("/run/netns/cni-1")
	if err := unix.Mount("/proc/self/ns/net", held, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(held, unix.MNT_DETACH) }) // it is gone if all went well
	if err := removePodNetworks(m); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(m.Path("/run/netns/*"))
	if err != nil || len(left) != 1 || filepath.Base(left[0]) != "others" {
		t.Errorf("left: %v, %v", left, err)
	}
}
