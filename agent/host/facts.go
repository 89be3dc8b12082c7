package host

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Facts are what kind of machine this is, as far as it decides how a node is set up.
type Facts struct {
	// Systemd says that systemd runs the services. Without it they are scripts under /etc/service.
	Systemd bool
	// CgroupV2 says that the unified hierarchy is the only one.
	CgroupV2 bool
	// SysResource says that processes may be protected from the out-of-memory killer (CAP_SYS_RESOURCE).
	SysResource bool
	// AppArmor says that profiles are enforced.
	AppArmor bool
}

// ReadFacts looks at the machine.
func ReadFacts() Facts {
	is := func(name string) bool {
		_, err := os.Stat(name)
		return err == nil
	}
	enabled, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	return Facts{
		Systemd:     is("/run/systemd/system"),
		CgroupV2:    is("/sys/fs/cgroup/cgroup.controllers"),
		SysResource: capable(unix.CAP_SYS_RESOURCE),
		// The profiles' file system is needed to load one.
		AppArmor: err == nil && strings.HasPrefix(string(enabled), "Y") && is("/sys/kernel/security/apparmor/profiles"),
	}
}

func capable(capability uint) bool {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(status)) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			return err == nil && set&(1<<capability) != 0
		}
	}
	return false
}
