package cloud

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// PreflightRequest is what a plan needs of an account, in all its regions together: some limits are the account's own.
type PreflightRequest struct {
	Owner Owner
	// Create are the resources to be made.
	Create []Resource
	// Replaced are the objects that go before one of Create takes their place; what they use is free by then.
	Replaced []Object
	// Roles are the roles of the machines of Create, by Resource.Machine: some types are too small for the control plane.
	Roles map[string]Role
}

// Findings is the answer of Preflight.
type Findings struct {
	// Problems would keep the account from making what is planned, in an order that doesn't change by itself.
	Problems []Problem
	// Notes tell what could not be looked at, in sentences. They keep nobody from anything.
	Notes []string
}

// Problem is one thing that would keep an account from making what is planned.
type Problem struct {
	// Class is Invalid, QuotaExceeded or Denied.
	Class Class `json:"class"`
	// Region is empty for what is the whole account's.
	Region string `json:"region,omitempty"`
	// Subject is what the problem is about, in the cloud's own words: an instance type, a quota with its code, a
	// permission.
	Subject string `json:"subject"`
	// MachineType is the machine type that it is about; empty where it is about something else.
	MachineType string `json:"machineType,omitempty"`
	// Message says what is wrong with it, Advice what to do.
	Message string `json:"message"`
	Advice  string `json:"advice,omitempty"`
	// Keys are the resources that can't be made because of it, empty when it concerns all.
	Keys []string `json:"keys,omitempty"`
}

func (p Problem) String() string {
	text := p.Subject + ": " + p.Message
	if p.Advice != "" {
		text += "; " + p.Advice
	}
	return text
}

// Sort puts problems in an order that depends on nothing but themselves.
func (f *Findings) Sort() {
	slices.SortFunc(f.Problems, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.Region, b.Region), strings.Compare(string(a.Class), string(b.Class)), strings.Compare(a.Subject, b.Subject))
	})
	slices.Sort(f.Notes)
	f.Notes = slices.Compact(f.Notes)
}

// OverQuota is the problem of a limit that what is planned would exceed, nil when it fits. The unit is what is counted
// ("vCPUs"), raise how a higher limit is asked for; %[1]g in it stands for the limit that would do.
func OverQuota(region, subject, unit, raise string, limit, used, need float64, keys []string) *Problem {
	if need <= 0 || used+need <= limit {
		return nil
	}
	return &Problem{
		Class: QuotaExceeded, Region: region, Subject: subject, Keys: keys,
		Message: fmt.Sprintf("the limit is %g %s, of which %g are used, and this needs %g more", limit, unit, used, need),
		Advice:  "ask for a limit of " + fmt.Sprintf(raise, used+need) + ", or ask for less",
	}
}

// NearestTypes gives, of the machine types there are, at most n that somebody who wrote name may have meant: those of its
// family, those of its size in sibling families, and those that are spelled alike. sep parts family and size in names.
func NearestTypes(name, sep string, known []string, n int) []string {
	family, size, _ := strings.Cut(name, sep)
	type candidate struct {
		name string
		far  int
	}
	var all []candidate
	for _, k := range known {
		f, s, _ := strings.Cut(k, sep)
		far := 10 * distance(name, k)
		switch {
		case f == family:
			far = 2 * distance(size, s)
		case s == size:
			far = 3 * distance(family, f)
		}
		all = append(all, candidate{k, far})
	}
	slices.SortFunc(all, func(a, b candidate) int { return cmp.Or(cmp.Compare(a.far, b.far), strings.Compare(a.name, b.name)) })
	all = slices.CompactFunc(all, func(a, b candidate) bool { return a.name == b.name })
	var out []string
	for _, c := range all[:min(n, len(all))] {
		out = append(out, c.name)
	}
	return out
}

// distance is Levenshtein's: how many letters have to be put in, taken out or changed.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
