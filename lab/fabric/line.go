//go:build linux

package fabric

import (
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// lineBytes bounds what is under way on one line: a second at a quarter of a Gbit/s, or 10 Gbit/s over 25 ms. What
	// comes when it is full is dropped, as a router does.
	lineBytes = 32 << 20
	// lineSlack is how much too early a packet may arrive, so that one wake-up serves a burst.
	lineSlack = 50 * time.Microsecond
	// maxEarly bounds how much before its time a line is woken, since waking takes a while.
	maxEarly = 250 * time.Microsecond
	// delayAge is how long a line keeps to a delay before it asks again.
	delayAge = time.Second
)

// line is the way from one port to another: what goes in comes out after the delay, in order.
type line struct {
	from, to *port
	// timer wakes the goroutine that delivers. The runtime's own timers are exact to a millisecond only while all
	// threads sleep, a timerfd is to microseconds, and costs nothing while the line is empty.
	timer  *os.File
	arming syscall.RawConn

	mu      sync.Mutex
	closed  bool
	started bool
	delay   time.Duration
	asked   time.Duration // when, on the internet's clock
	queue   queue
	bytes   int
	last    time.Duration // when the last one in the queue is due
	wake    time.Duration // what the timer is set to
	early   time.Duration // how long after that the goroutine runs, on average
}

// flight is one packet on its way.
type flight struct {
	due   time.Duration // on the internet's clock
	frame *[]byte
}

func newLine(from, to *port) (*line, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("timer of the line from %s to %s: %w", from.name, to.name, err)
	}
	l := &line{from: from, to: to, timer: os.NewFile(uintptr(fd), "timerfd")}
	if l.arming, err = l.timer.SyscallConn(); err != nil {
		l.timer.Close()
		return nil, fmt.Errorf("timer of the line from %s to %s: %w", from.name, to.name, err)
	}
	l.delay, l.asked = from.net.delay(from.at, to.at), from.net.now()
	return l, nil
}

// send takes a packet; the frame is the caller's again afterwards. Only one goroutine sends on a line.
func (l *line) send(frame []byte) {
	now := l.from.net.now()
	l.mu.Lock()
	if now-l.asked > delayAge {
		l.delay, l.asked = l.from.net.delay(l.from.at, l.to.at), now
	}
	if l.delay <= 0 && l.queue.len() == 0 {
		l.mu.Unlock()
		_, _ = l.to.file.Write(frame) // a closed port loses packets
		return
	}
	defer l.mu.Unlock()
	if l.closed || l.bytes+len(frame) > lineBytes {
		return
	}
	// A delay that has just become shorter must not let packets overtake.
	l.last = max(now+l.delay, l.last)
	first := l.queue.len() == 0
	l.queue.push(flight{due: l.last, frame: borrow(frame)})
	l.bytes += len(frame)
	if !l.started {
		l.started = true
		go l.deliver()
	}
	if first {
		l.arm(now)
	}
}

// arm wakes the delivering goroutine when the first packet is due, or a little earlier. The lock is held.
func (l *line) arm(now time.Duration) {
	if l.closed {
		return
	}
	l.wake = max(l.queue.front().due-l.early, now)
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(max(l.wake-now, 1)))}
	_ = l.arming.Control(func(fd uintptr) { _ = unix.TimerfdSettime(int(fd), 0, &spec, nil) })
}

// deliver hands over what is due until the line is closed.
func (l *line) deliver() {
	var due []flight
	expirations := make([]byte, 8)
	for {
		due = l.takeDue(due[:0])
		for _, f := range due {
			_, _ = l.to.file.Write(*f.frame)
			giveBack(f.frame)
		}
		if len(due) > 0 {
			continue
		}
		if _, err := l.timer.Read(expirations); err != nil {
			return
		}
		l.woken()
	}
}

// woken learns how long a wake-up takes on this computer now.
func (l *line) woken() {
	l.mu.Lock()
	defer l.mu.Unlock()
	late := l.from.net.now() - l.wake
	l.early += (min(max(late, 0), maxEarly) - l.early) / 8
}

// takeDue moves what is due out of the queue; when nothing is, it arms the timer for what comes next.
func (l *line) takeDue(due []flight) []flight {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.from.net.now()
	for l.queue.len() > 0 && l.queue.front().due <= now+lineSlack {
		f := l.queue.pop()
		l.bytes -= len(*f.frame)
		due = append(due, f)
	}
	if len(due) == 0 && l.queue.len() > 0 {
		l.arm(now)
	}
	return due
}

// close ends the line; what is under way is lost.
func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for l.queue.len() > 0 {
		giveBack(l.queue.pop().frame)
	}
	l.timer.Close()
}

// queue is a ring that grows and never shrinks.
type queue struct {
	ring        []flight
	head, count int
}

func (q *queue) len() int       { return q.count }
func (q *queue) front() *flight { return &q.ring[q.head] }

func (q *queue) push(f flight) {
	if q.count == len(q.ring) {
		grown := make([]flight, max(64, 2*len(q.ring)))
		n := copy(grown, q.ring[q.head:])
		copy(grown[n:], q.ring[:q.head])
		q.ring, q.head = grown, 0
	}
	q.ring[(q.head+q.count)%len(q.ring)] = f
	q.count++
}

func (q *queue) pop() flight {
	f := q.ring[q.head]
	q.ring[q.head] = flight{}
	q.head = (q.head + 1) % len(q.ring)
	q.count--
	return f
}

// frames pools buffers by size, so that a small packet doesn't hold a large one's memory.
var frames = [...]struct {
	size int
	pool sync.Pool
}{{size: 2 << 10}, {size: 4 << 10}, {size: 8 << 10}, {size: 16 << 10}, {size: 32 << 10}, {size: maxPacket}}

// borrow returns a pooled copy of a frame.
func borrow(frame []byte) *[]byte {
	for i := range frames {
		class := &frames[i]
		if len(frame) > class.size {
			continue
		}
		b, _ := class.pool.Get().(*[]byte)
		if b == nil {
			fresh := make([]byte, class.size)
			b = &fresh
		}
		*b = (*b)[:len(frame)]
		copy(*b, frame)
		return b
	}
	panic("a frame is larger than any that is read")
}

func giveBack(b *[]byte) {
	for i := range frames {
		if class := &frames[i]; cap(*b) == class.size {
			class.pool.Put(b)
			return
		}
	}
}
