package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"charm.land/huh/v2"
)

// option is one of several answers.
type option struct {
	// name is what is chosen, about says more of it.
	name, about string
}

func (o option) String() string {
	if o.about == "" {
		return o.name
	}
	return o.name + ": " + o.about
}

// asker asks questions, one after another. Its methods return an error when there is nobody to answer any more.
type asker interface {
	// text asks for one line; enter alone takes what is proposed.
	text(ctx context.Context, title, help, proposed string, check func(string) error) (string, error)
	// choose asks for one of several options, with the one proposed by its number.
	choose(ctx context.Context, title, help string, options []option, proposed int) (int, error)
	// several asks for one or more of several options.
	several(ctx context.Context, title, help string, options []option) ([]int, error)
}

// askerFor is the asker for a terminal: forms, or lines where the terminal can't move its cursor.
func (s *settings) askerFor() asker {
	if kind := os.Getenv("TERM"); kind == "" || kind == "dumb" {
		return &lineAsker{in: answers, out: os.Stderr}
	}
	return &formAsker{in: os.Stdin, out: os.Stderr, paint: s.painter(os.Stderr)}
}

// errUnasked is how questions end that aren't answered.
var errUnasked = errors.New("the questions were broken off: nothing was made, and nothing written")

// lineAsker asks line by line, for terminals that are no more than a typewriter, and programs that play one.
type lineAsker struct {
	in  *bufio.Reader
	out io.Writer
}

// line reads one line. Nobody can call a read of a terminal back: it goes on in the background.
func (a *lineAsker) line(ctx context.Context) (string, error) {
	type read struct {
		text string
		err  error
	}
	got := make(chan read, 1)
	go func() {
		text, err := a.in.ReadString('\n')
		got <- read{text, err}
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(a.out)
		return "", &stopped{text: "Interrupted; nothing was done.", cause: context.Cause(ctx)}
	case r := <-got:
		if r.err != nil && r.text == "" {
			fmt.Fprintln(a.out)
			return "", errUnasked
		}
		return strings.TrimSpace(r.text), nil
	}
}

// ask asks until the answer passes.
func (a *lineAsker) ask(ctx context.Context, prompt, proposed string, check func(string) error) (string, error) {
	for {
		fmt.Fprint(a.out, prompt)
		if proposed != "" {
			fmt.Fprintf(a.out, " [%s]", proposed)
		}
		fmt.Fprint(a.out, ": ")
		text, err := a.line(ctx)
		if err != nil {
			return "", err
		}
		if text == "" {
			text = proposed
		}
		if err = check(text); err == nil {
			return text, nil
		}
		fmt.Fprintf(a.out, "  %v\n", err)
	}
}

func (a *lineAsker) text(ctx context.Context, title, help, proposed string, check func(string) error) (string, error) {
	fmt.Fprintln(a.out)
	if help != "" {
		fmt.Fprintln(a.out, wrap(help, helpWidth, ""))
	}
	return a.ask(ctx, title, proposed, check)
}

func (a *lineAsker) list(title, help string, options []option) {
	fmt.Fprintf(a.out, "\n%s\n", title)
	if help != "" {
		fmt.Fprintln(a.out, wrap(help, helpWidth, ""))
	}
	for i, o := range options {
		fmt.Fprintf(a.out, "  %d. %s\n", i+1, o)
	}
}

// among reads the number or the name of an option.
func among(text string, options []option) (int, error) {
	if n, err := strconv.Atoi(text); err == nil && n >= 1 && n <= len(options) {
		return n - 1, nil
	}
	if i := slices.IndexFunc(options, func(o option) bool { return o.name == text }); i >= 0 {
		return i, nil
	}
	return 0, fmt.Errorf("found %q: want a number from 1 to %d", text, len(options))
}

func (a *lineAsker) choose(ctx context.Context, title, help string, options []option, proposed int) (int, error) {
	a.list(title, help, options)
	var chosen int
	_, err := a.ask(ctx, "Number", strconv.Itoa(proposed+1), func(text string) (err error) {
		chosen, err = among(text, options)
		return err
	})
	return chosen, err
}

func (a *lineAsker) several(ctx context.Context, title, help string, options []option) ([]int, error) {
	a.list(title, help, options)
	var chosen []int
	_, err := a.ask(ctx, "Numbers, with spaces between them", "", func(text string) error {
		chosen = nil
		for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' }) {
			i, err := among(word, options)
			if err != nil {
				return err
			}
			chosen = append(chosen, i)
		}
		slices.Sort(chosen)
		if chosen = slices.Compact(chosen); len(chosen) == 0 {
			return errors.New("want one or more")
		}
		return nil
	})
	return chosen, err
}

// formAsker asks by forms that stay where they are while they are filled in; of each, title and answer stay on the screen.
type formAsker struct {
	in, out *os.File
	paint   painter
}

func (a *formAsker) ask(ctx context.Context, f huh.Field) error {
	form := huh.NewForm(huh.NewGroup(f)).WithInput(a.in).WithOutput(a.out).WithShowHelp(true)
	if a.paint {
		form = form.WithTheme(huh.ThemeFunc(huh.ThemeBase16)) // the terminal's own colours
	} else {
		form = form.WithTheme(huh.ThemeFunc(huh.ThemeBase))
	}
	err := form.RunWithContext(ctx)
	switch {
	case ctx.Err() != nil:
		return &stopped{text: "Interrupted; nothing was done.", cause: context.Cause(ctx)}
	case errors.Is(err, huh.ErrUserAborted):
		return errUnasked
	}
	return err
}

// said leaves a question with its answer behind.
func (a *formAsker) said(title, answer string) {
	fmt.Fprintf(a.out, "%s: %s\n", title, a.paint.paint(bold, answer))
}

func (a *formAsker) text(ctx context.Context, title, help, proposed string, check func(string) error) (string, error) {
	value := proposed
	trimmed := func(text string) error { return check(strings.TrimSpace(text)) }
	if err := a.ask(ctx, huh.NewInput().Title(title).Description(help).Value(&value).Validate(trimmed)); err != nil {
		return "", err
	}
	value = strings.TrimSpace(value)
	a.said(title, value)
	return value, nil
}

// shownAtOnce is how many options a list shows at once; longer ones are scrolled, and searched with a slash.
const shownAtOnce = 12

// height is how many lines a list of options takes with its title and help.
func height(help string, options []option) int {
	lines := 1 + min(len(options), shownAtOnce)
	if help != "" {
		lines++
	}
	return lines
}

func numbered(options []option) []huh.Option[int] {
	var out []huh.Option[int]
	for i, o := range options {
		out = append(out, huh.NewOption(o.String(), i))
	}
	return out
}

func (a *formAsker) choose(ctx context.Context, title, help string, options []option, proposed int) (int, error) {
	chosen := proposed
	f := huh.NewSelect[int]().Title(title).Description(help).Options(numbered(options)...).Height(height(help, options)).Value(&chosen)
	if err := a.ask(ctx, f); err != nil {
		return 0, err
	}
	a.said(title, options[chosen].name)
	return chosen, nil
}

func (a *formAsker) several(ctx context.Context, title, help string, options []option) ([]int, error) {
	help = strings.TrimSpace(help + " Space marks one, enter goes on.")
	var chosen []int
	for len(chosen) == 0 { // the form's own check complains before there is an answer
		f := huh.NewMultiSelect[int]().Title(title).Description(help).Options(numbered(options)...).Height(height(help, options)).Value(&chosen)
		if err := a.ask(ctx, f); err != nil {
			return nil, err
		}
	}
	slices.Sort(chosen)
	a.said(title, strings.Join(each(chosen, func(i int) string { return options[i].name }), ", "))
	return chosen, nil
}
