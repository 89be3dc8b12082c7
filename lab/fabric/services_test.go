//go:build linux

package fabric

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

func TestMetadata(t *testing.T) {
	needRoot(t)
	f := testFabric(t, t.TempDir())
	aws := site("aws")
	aws.NICs[0].Outbound = nil // the metadata service is no matter of rules
	set(t, f, aws)
	set(t, f, site("gcp"))
	for machine, want := range map[string]string{
		"aws1": "aws aws-net 10.64.0.11 ttl 1", "aws2": "aws aws-net 10.64.0.12 ttl 1", "gcp2": "gcp gcp-net 10.65.0.12 ttl 64",
	} {
		within(t, f, machine, func() error {
			// A raw socket sees the packets with their headers.
			raw, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_TCP)
			if err != nil {
				return err
			}
			defer unix.Close(raw)
			conn, err := net.Dial("tcp4", "169.254.169.254:80")
			if err != nil {
				return err
			}
			client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: onlyConn(conn)}, Timeout: patient}
			response, err := client.Get("http://169.254.169.254/")
			if err != nil {
				return err
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil {
				return err
			}
			packet := make([]byte, 1500)
			if _, _, err := unix.Recvfrom(raw, packet, unix.MSG_DONTWAIT); err != nil {
				return err
			}
			if got := fmt.Sprintf("%s ttl %d", body, packet[8]); got != want {
				return fmt.Errorf("got %q, want %q", got, want)
			}
			return nil
		})
	}
	if _, err := asHere(f, "aws1", "10.64.0.12", "tcp4", "169.254.169.254:80", impatient); err == nil {
		t.Error("a machine can pass for another one")
	}
}

func TestResolver(t *testing.T) {
	needRoot(t)
	f := testFabric(t, t.TempDir())
	set(t, f, site("gcp"))
	within(t, f, "gcp1", func() error {
		for _, network := range []string{"udp", "tcp"} {
			for _, at := range []string{"169.254.169.254:53", "169.254.169.253:53"} {
				conn, err := net.Dial(network, at)
				if err != nil {
					return err
				}
				defer conn.Close()
				if err := conn.SetDeadline(time.Now().Add(patient)); err != nil {
					return err
				}
				for question, want := range map[string]string{
					"metadata.google.internal. A":    "NOERROR 169.254.169.254",
					"METADATA. A":                    "NOERROR 169.254.169.254",
					"metadata.google.internal. AAAA": "NOERROR",
					"example.com. A":                 "NXDOMAIN",
				} {
					name, kind, _ := strings.Cut(question, " ")
					query := new(dns.Msg).SetQuestion(name, dns.StringToType[kind])
					client := &dns.Conn{Conn: conn}
					if err := client.WriteMsg(query); err != nil {
						return err
					}
					reply, err := client.ReadMsg()
					if err != nil {
						return fmt.Errorf("%s at %s: %w", network, at, err)
					}
					got := dns.RcodeToString[reply.Rcode]
					for _, record := range reply.Answer {
						got += " " + record.(*dns.A).A.String()
					}
					if got != want {
						return fmt.Errorf("%s: got %q, want %q", question, got, want)
					}
				}
			}
		}
		return nil
	})
	if err := inMachine(f, "gcp1", func() error {
		_, err := net.DialTimeout("tcp4", "10.65.0.1:80", 200*time.Millisecond)
		return err
	}); err == nil {
		t.Error("the gateway answers at its own address")
	} else if timeout := net.Error(nil); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("the gateway refuses: %v", err)
	}
}
