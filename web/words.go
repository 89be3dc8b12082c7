package web

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// tone is what a state means to people; it has a colour, a shape and a word, so that none of them is needed alone.
type tone string

// The tones, from the best.
const (
	good    tone = "good"
	busy    tone = "busy"
	idle    tone = "idle"
	warning tone = "warning"
	bad     tone = "bad"
)

// tones are those of all states that clusters, nodes, runs, steps, changes, accounts and conditions can be in.
var tones = map[string]tone{
	// clusters
	"Pending": busy, "Reconciling": busy, "Ready": good, "Degraded": bad, "Deleting": busy, "Deleted": idle, "Paused": warning, "Blocked": bad,
	// nodes
	"Provisioning": busy, "Joining": busy, "NotReady": bad, "Missing": bad, "Unknown": warning, "Failed": bad,
	// runs and steps
	"running": busy, "succeeded": good, "failed": bad, "interrupted": warning, "stopped": warning, "done": good, "pending": idle, "skipped": warning, "halted": warning, "paused": warning,
	// changes
	"queued": idle, "applying": busy, "applied": good, "superseded": idle, "cancelled": idle,
	// accounts
	"Throttled": warning, "CircuitOpen": bad, "CredentialsRefused": bad,
	// conditions
	"True": good, "False": bad,
}

// toneOf is a state's tone, idle for one that isn't known here.
func toneOf(state string) tone {
	if t, ok := tones[state]; ok {
		return t
	}
	return idle
}

// stateWords are states in plain words, where their names aren't.
var stateWords = map[string]string{
	"NotReady": "Not ready", "CircuitOpen": "Not asked for now", "CredentialsRefused": "Credentials refused", "Reconciling": "Being changed", "Pending": "Waiting to begin",
}

// wordsOf is a state as people read it.
func wordsOf(state string) string {
	if w, ok := stateWords[state]; ok {
		return w
	}
	return sentence(state)
}

// sentence begins with a capital.
func sentence(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 || !unicode.IsLower(r) {
		return s
	}
	return string(unicode.ToUpper(r)) + s[n:]
}

// span is a length of time in the largest one or two units that matter.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return span(-d)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 10*time.Minute:
		return strings.TrimSuffix(fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60), " 0 s")
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 24*time.Hour:
		return strings.TrimSuffix(fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60), " 0 min")
	case d < 48*time.Hour:
		return fmt.Sprintf("1 day %d h", int(d.Hours())-24)
	}
	return fmt.Sprintf("%d days", int(d.Hours())/24)
}

// coarse is a length of time in one unit, as the script counts it on too.
func coarse(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours())/24)
}

// relative is a moment as seen from now: "3 min ago", "in 20 s".
func relative(now, t time.Time) string {
	d := now.Sub(t)
	switch {
	case d < 0 && -d < time.Second, d >= 0 && d < 5*time.Second:
		return "just now"
	case d < 0:
		return "in " + coarse(-d)
	}
	return coarse(d) + " ago"
}

// absolute is a moment for those who want to know exactly.
func absolute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// machineTime is a moment for programs.
func machineTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// counted is a number with its noun: "1 node", "3 nodes".
func counted(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(int64(n)) + " " + plural(one)
}

// plural is a noun's.
func plural(one string) string {
	switch {
	case strings.HasSuffix(one, "s"):
		return one + "es"
	case strings.HasSuffix(one, "y") && !strings.HasSuffix(one, "ay") && !strings.HasSuffix(one, "ey"):
		return strings.TrimSuffix(one, "y") + "ies"
	}
	return one + "s"
}

// grouped writes a number with thin gaps between thousands.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// milliseconds is a round trip with as many digits as it is worth.
func milliseconds(ms float64) string {
	switch {
	case ms < 10:
		return fmt.Sprintf("%.1f ms", ms)
	default:
		return fmt.Sprintf("%.0f ms", ms)
	}
}

// joinAnd lists words: "a, b and c".
func joinAnd(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// stepPrefix is how the engine names a step before it says what went wrong with it; the words after it say it again.
var stepPrefix = regexp.MustCompile(`^[a-z]+/[a-z0-9/-]+: `)

// plainError is what went wrong, for people.
func plainError(s string) string {
	return sentence(stepPrefix.ReplaceAllString(strings.TrimSpace(s), ""))
}

// firstLine is a text's first line.
func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// providerNames are the clouds as they call themselves.
var providerNames = map[string]string{"aws": "AWS", "gcp": "Google Cloud", "azure": "Azure", "digitalocean": "DigitalOcean"}

func providerName(id string) string {
	if n, ok := providerNames[id]; ok {
		return n
	}
	return id
}

// cut is a text of at most n letters.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
