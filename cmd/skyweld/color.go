package main

import (
	"errors"
	"io"
	"os"
	"regexp"
	"strings"

	"golang.org/x/term"
)

// colorMode says when colours are written. The zero value is auto.
type colorMode string

// The modes, and the environment that auto looks at: https://no-color.org for NO_COLOR, terminfo(5) for TERM.
const (
	colorAuto   colorMode = "auto"
	colorNever  colorMode = "never"
	colorAlways colorMode = "always"
)

func (m *colorMode) String() string { return string(*m) }
func (m *colorMode) Type() string   { return "WHEN" }

func (m *colorMode) Set(text string) error {
	switch v := colorMode(text); v {
	case colorAuto, colorNever, colorAlways:
		*m = v
		return nil
	}
	return errors.New("want auto, never or always")
}

// painter colours text, or leaves it as it is.
type painter bool

// painter says whether what is written to w gets colours.
func (s *settings) painter(w io.Writer) painter {
	if s.color == colorAlways || s.color == colorNever {
		return s.color == colorAlways
	}
	kind := os.Getenv("TERM")
	return painter(writesTerminal(w) && os.Getenv("NO_COLOR") == "" && kind != "" && kind != "dumb")
}

// The colours, by what they mean.
const (
	good  = "32" // green
	going = "33" // yellow
	bad   = "31" // red
	bold  = "1"
)

func (p painter) paint(color, text string) string {
	if !p || color == "" || text == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// status paints a word that says how something is.
func (p painter) status(word string) string {
	switch strings.ToLower(word) {
	case "ready", "succeeded", "done", "applied", "normal":
		return p.paint(good, word)
	case "failed", "degraded", "notready", "missing", "warning", "unknown", "circuitopen", "credentialsrefused":
		return p.paint(bad, word)
	case "-", "":
		return word
	}
	return p.paint(going, word)
}

var colorCodes = regexp.MustCompile("\x1b\\[[0-9;]*m")

// visible is text without its colours.
func visible(text string) string { return colorCodes.ReplaceAllString(text, "") }

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

func writesTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isTerminal(f)
}

// screenWidth is the number of columns of the terminal that w is, 0 when it is none.
func screenWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}
