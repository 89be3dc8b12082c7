package main

import (
	"cmp"
	"os"
	"os/exec"
)

// browse opens an address in the browser of whoever sits in front of this machine. That there is none, or that it doesn't
// work, is no error: the address was printed.
func browse(address string) {
	if cmp.Or(os.Getenv("DISPLAY"), os.Getenv("WAYLAND_DISPLAY")) == "" || os.Getenv("SSH_CONNECTION") != "" {
		return
	}
	opener, err := exec.LookPath("xdg-open")
	if err != nil {
		return
	}
	c := exec.Command(opener, address)
	if c.Start() == nil {
		_ = c.Process.Release() // it goes on by itself
	}
}
