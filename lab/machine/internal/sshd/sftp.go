//go:build linux

package sshd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"

	"github.com/pkg/sftp"
)

// StageSFTP is the argument that makes the program a file transfer server.
const StageSFTP = "sftp"

// ServeSFTP serves file transfer on standard input and output as the account whose ids are given: user, group, groups.
func ServeSFTP(ids []string) error {
	var numbers []int
	for _, id := range ids {
		n, err := strconv.Atoi(id)
		if err != nil {
			return fmt.Errorf("file transfer: %w", err)
		}
		numbers = append(numbers, n)
	}
	if len(numbers) < 2 {
		return errors.New("file transfer: no account")
	}
	if uid := numbers[0]; uid != 0 {
		if err := errors.Join(syscall.Setgroups(numbers[2:]), syscall.Setgid(numbers[1]), syscall.Setuid(uid)); err != nil {
			return fmt.Errorf("file transfer: give up root's rights: %w", err)
		}
	}
	home, err := os.Getwd()
	if err != nil {
		home = "/"
	}
	server, err := sftp.NewServer(struct {
		io.Reader
		io.WriteCloser
	}{os.Stdin, os.Stdout}, sftp.WithServerWorkingDirectory(home))
	if err != nil {
		return fmt.Errorf("file transfer: %w", err)
	}
	if err := server.Serve(); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("file transfer: %w", err)
	}
	return nil
}
