package agent

import (
	"encoding/json"
	"errors"
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

// poured is what became of a stream of data: bytes that arrived, in seconds, the longest time in which nothing could be sent,
// and the median round trip of a byte before it, in microseconds.
type poured struct {
	Bytes   int64
	Seconds float64
	Longest float64
	Trip    float64
}

// pings is how many bytes go there and back before the data.
const pings = 200

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
			for range pings {
				if _, err := io.ReadFull(connection, buffer[:1]); err != nil {
					return
				}
				if _, err := connection.Write(buffer[:1]); err != nil {
					return
				}
			}
			for {
				n, err := connection.Read(buffer)
				total += int64(n)
				if errors.Is(err, io.EOF) {
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
	trips, ping := make([]float64, pings), make([]byte, 1)
	for i := range trips {
		start := time.Now()
		if _, err := connection.Write(ping); err != nil {
			return fail(err)
		}
		if _, err := io.ReadFull(connection, ping); err != nil {
			return fail(err)
		}
		trips[i] = float64(time.Since(start).Nanoseconds()) / 1000
	}
	got.Trip = median(trips)
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
