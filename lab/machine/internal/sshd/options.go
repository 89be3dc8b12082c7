//go:build linux

package sshd

import (
	"strings"
	"time"

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
		case name == "expiry-time" && valued:
			if until, ok := expiry(strings.Trim(value, `"`)); !ok || !time.Now().Before(until) {
				return nil
			}
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

// expiry reads the time of the option expiry-time: YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, with a Z for UTC, else in
// local time (sshd(8), AUTHORIZED_KEYS FILE FORMAT).
func expiry(text string) (time.Time, bool) {
	zone := time.Local
	if t, ok := strings.CutSuffix(text, "Z"); ok {
		text, zone = t, time.UTC
	}
	for _, form := range []string{"20060102", "200601021504", "20060102150405"} {
		if t, err := time.ParseInLocation(form, text, zone); err == nil && len(text) == len(form) {
			return t, true
		}
	}
	return time.Time{}, false
}
