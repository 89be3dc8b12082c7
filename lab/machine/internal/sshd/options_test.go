//go:build linux

package sshd

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
)

func TestPermissions(t *testing.T) {
	tests := []struct {
		options []string
		want    map[string]string // nil: the key is refused
	}{
		{nil, map[string]string{}},
		{[]string{"no-agent-forwarding", "no-X11-forwarding"}, map[string]string{}},
		{[]string{"no-pty", "no-port-forwarding"}, map[string]string{extNoPTY: "", extNoForward: ""}},
		{[]string{"restrict"}, map[string]string{extNoPTY: "", extNoForward: ""}},
		{[]string{`command="echo \"hi\""`}, map[string]string{extCommand: `echo "hi"`}},
		{[]string{`command=""`}, map[string]string{extCommand: ""}},
		{[]string{`from="10.0.0.0/8"`}, nil},
		{[]string{"cert-authority"}, nil},
		{[]string{"command"}, nil},
		{[]string{"command=unquoted"}, nil},
	}
	for _, tt := range tests {
		got := permissions(tt.options)
		if tt.want == nil {
			if got != nil {
				t.Errorf("%q are accepted as %v", tt.options, got.Extensions)
			}
			continue
		}
		if got == nil {
			t.Errorf("%q are refused", tt.options)
			continue
		}
		if d := cmp.Diff(&ssh.Permissions{Extensions: tt.want}, got); d != "" {
			t.Errorf("%q (-want +got)\n%s", tt.options, d)
		}
	}
}
