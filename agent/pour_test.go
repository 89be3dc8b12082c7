package agent

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"
)

// sinkPort is where a pod takes data.
const sinkPort = 8081

// poured is what became of a stream of data: bytes that arrived, in seconds, and the longest time in which nothing
// could be sent.
type poured struct {
	Bytes   int64
	Seconds float64
	Longest float64
}

// sink takes data in the machine's pod.
func (m *namespaceMachine) sink() {
	w := m.world
	w.t.Helper()
	started(w.t, self("ip", "netns", "exec", w.prefix+"-pod-"+m.member.Name, program(w.t), "sink", netip.AddrPortFrom(netip.IPv4Unspecified(), sinkPort).String()), "ready")
}

func sinkAt(address string) int {
	listener, err := net.Listen("tcp4", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("ready")
	for {
		connection, err := listener.Accept()
		if err != nil {
			return 1
		}
		go func() {
			defer connection.Close()
			buffer, total := make([]byte, 1<<18), int64(0)
			for {
				n, err := connection.Read(buffer)
				total += int64(n)
				if err == io.EOF {
					fmt.Fprintln(connection, total)
				}
				if err != nil {
					return
				}
			}
		}()
	}
}

func pourInto(address, length string) int {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	duration, err := time.ParseDuration(length)
	if err != nil {
		return fail(err)
	}
	dialed, err := net.DialTimeout("tcp4", address, 10*time.Second)
	if err != nil {
		return fail(err)
	}
	connection := dialed.(*net.TCPConn)
	if err := connection.SetDeadline(time.Now().Add(duration + 20*time.Second)); err != nil {
		return fail(err)
	}
	var got poured
	block, start := make([]byte, 1<<16), time.Now()
	for last := start; last.Sub(start) < duration; {
		if _, err := connection.Write(block); err != nil {
			return fail(err)
		}
		now := time.Now()
		got.Longest = max(got.Longest, now.Sub(last).Seconds())
		last = now
	}
	if err := connection.CloseWrite(); err != nil {
		return fail(err)
	}
	answer, err := io.ReadAll(connection)
	if err != nil {
		return fail(err)
	}
	got.Seconds = time.Since(start).Seconds()
	if got.Bytes, err = strconv.ParseInt(string(answer[:max(0, len(answer)-1)]), 10, 64); err != nil {
		return fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(got); err != nil {
		return fail(err)
	}
	return 0
}
