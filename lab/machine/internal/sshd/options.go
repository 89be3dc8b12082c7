//go:build linux

package sshd

import (
	"strings"

	"golang.org/x/crypto/ssh"
)

// permissions turns the options before a key (sshd(8), AUTHORIZED_KEYS FILE FORMAT) into limits. One that isn't known, or
// can't be enforced here, makes the key useless: nil.
func permissions(options []string) *ssh.Permissions {
	p := &ssh.Permissions{Extensions: map[string]string{}}
	for _, option := range options {
		name, value, valued := strings.Cut(option, "=")
		switch name = strings.ToLower(name); {
		case name == "command" && valued && len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"':
			p.Extensions[extCommand] = strings.ReplaceAll(value[1:len(value)-1], `\"`, `"`)
		case valued:
			return nil
		case name == "no-pty":
			p.Extensions[extNoPTY] = ""
		case name == "no-port-forwarding":
			p.Extensions[extNoForward] = ""
		case name == "restrict":
			p.Extensions[extNoPTY], p.Extensions[extNoForward] = "", ""
		case name == "no-agent-forwarding", name == "no-x11-forwarding", name == "no-user-rc":
			// None of these exist here.
		default:
			return nil
		}
	}
	return p
}
