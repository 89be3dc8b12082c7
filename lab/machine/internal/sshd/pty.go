//go:build linux

package sshd

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// pty is a pseudo terminal: the program has one end, the client the other.
type pty struct {
	master *os.File
	name   string
	once   sync.Once
}

// newPTY makes a terminal that belongs to the account with this id.
func newPTY(uid int) (*pty, error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open a terminal: %w", err)
	}
	p := &pty{master: os.NewFile(uintptr(fd), "/dev/ptmx")}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		p.name = fmt.Sprintf("/dev/pts/%d", number)
		err = os.Chown(p.name, uid, 5) // Group tty, as devpts has it.
	}
	if err != nil {
		p.close()
		return nil, fmt.Errorf("open a terminal: %w", err)
	}
	return p, nil
}

// open opens the program's end.
func (p *pty) open() (*os.File, error) { return os.OpenFile(p.name, os.O_RDWR|unix.O_NOCTTY, 0) }

func (p *pty) resize(rows, columns uint32) error {
	control, err := p.master.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = control.Control(func(fd uintptr) {
		failed = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(rows), Col: uint16(columns)})
	})
	if err != nil {
		return err
	}
	return failed
}

func (p *pty) close() { p.once.Do(func() { p.master.Close() }) }
