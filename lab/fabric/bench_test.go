//go:build linux

package fabric

import (
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// packetPair returns two ends that keep packets apart, like a TUN device and its file.
func packetPair(t testing.TB) (near, far *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fds[0]), "near"), os.NewFile(uintptr(fds[1]), "far")
}

// BenchmarkInternet sends TCP from one region to another, through both routers' rules and mappings.
func BenchmarkInternet(b *testing.B) {
	for _, to := range []struct{ name, at string }{{"far", "198.18.2.11:7000"}, {"near", "198.18.1.12:7000"}, {"inside", "10.64.0.12:7000"}} {
		b.Run(to.name, func(b *testing.B) {
			needRoot(b)
			f := testFabric(b, b.TempDir())
			set(b, f, site("aws"))
			set(b, f, site("gcp"))
			sink := func(machine string) {
				within(b, f, machine, func() error {
					l, err := net.Listen("tcp4", "0.0.0.0:7000")
					if err != nil {
						return err
					}
					b.Cleanup(func() { l.Close() })
					go func() {
						c, err := l.Accept()
						if err != nil {
							return
						}
						defer c.Close()
						n, _ := io.Copy(io.Discard, c)
						fmt.Fprintln(c, n)
					}()
					return nil
				})
			}
			sink("gcp1")
			sink("aws2")
			within(b, f, "aws1", func() error {
				c, err := net.DialTimeout("tcp4", to.at, time.Second)
				if err != nil {
					return err
				}
				defer c.Close()
				block := make([]byte, 1<<20)
				b.SetBytes(int64(len(block)))
				for b.Loop() {
					if _, err := c.Write(block); err != nil {
						return err
					}
				}
				if err := c.(*net.TCPConn).CloseWrite(); err != nil {
					return err
				}
				_, err = io.ReadAll(c)
				return err
			})
		})
	}
}

// BenchmarkSwitch carries small packets one by one through the switch alone.
func BenchmarkSwitch(b *testing.B) {
	for _, delay := range []time.Duration{0, time.Millisecond} {
		b.Run(delay.String(), func(b *testing.B) {
			near, far, _, _ := switchOf(b, delay)
			frame := udpFrame("198.18.1.1", "198.18.2.1", 40000, 51820, 1400)
			done := make(chan error, 1)
			in := make([]byte, maxPacket)
			b.ReportAllocs()
			window := make(chan struct{}, 16)
			go func() {
				for range b.N {
					if _, err := far.Read(in); err != nil {
						done <- err
						return
					}
					<-window
				}
				done <- nil
			}()
			for range b.N {
				window <- struct{}{}
				if _, err := near.Write(frame); err != nil {
					b.Fatal(err)
				}
			}
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}
