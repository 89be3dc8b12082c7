package price

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/skyweld/skyweld/cloud"
)

// Sum is what several things cost together, as far as it is known.
type Sum struct {
	Cost
	// Priced and Unknown count the things with a price and without one. While there are any without, the sum is what is paid
	// at least.
	Priced  int `json:"priced" doc:"how many things have a price and are in the sum"`
	Unknown int `json:"unknown" doc:"how many have none and are not: while there are any, more is paid than the sum says"`
}

// Line is what there is of one kind at one site.
type Line struct {
	Use
	Count int `json:"count"`
	// Price is that of all of them, absent where it isn't known.
	Price *Cost `json:"price,omitempty" doc:"of all of them together; absent when it isn't known"`
}

// CloudSum is what is paid to one cloud.
type CloudSum struct {
	Cloud cloud.Provider `json:"cloud"`
	Sum
}

// Catalogue says where prices of a cloud are from.
type Catalogue struct {
	Cloud cloud.Provider `json:"cloud"`
	Date  string         `json:"date"`
	From  string         `json:"from"`
}

// Estimate is what a number of things cost.
type Estimate struct {
	Currency string     `json:"currency"`
	Total    Sum        `json:"total"`
	Clouds   []CloudSum `json:"clouds"`
	Lines    []Line     `json:"lines"`
	// Unknown names the items that have no price.
	Unknown []string `json:"unknown,omitempty"`
	// LeftOut says what is paid beside all that.
	LeftOut []string    `json:"leftOut"`
	Sources []Catalogue `json:"sources"`
}

// Comparison is what a cluster costs after a change, beside what it costs now.
type Comparison struct {
	After Estimate `json:"after"`
	Now   Sum      `json:"now"`
	// Difference is what comes to that, less what goes; its counts are of the things that come or go.
	Difference Sum `json:"difference"`
}

// LeftOut says what no estimate has in it.
func LeftOut() []string {
	return []string{
		"traffic: to the internet, and between sites, regions and zones",
		"what workloads ask for: load balancers, volumes, snapshots of them",
		"processor credits of machines with shared processors",
		"taxes, discounts, free tiers, and rounding up to a cloud's smallest time",
	}
}

// parts are the parts of a bill in the order of lists.
var parts = []cloud.Part{cloud.PartMachine, cloud.PartDisk, cloud.PartAddress}

func compareUses(a, b Use) int {
	return cmp.Or(cmp.Compare(a.Cloud, b.Cloud), strings.Compare(a.Site, b.Site), strings.Compare(a.Region, b.Region),
		cmp.Compare(slices.Index(parts, a.Part), slices.Index(parts, b.Part)), strings.Compare(a.Type, b.Type), cmp.Compare(a.GiB, b.GiB))
}

// count adds equal uses up.
func count(uses []Use) map[Use]int {
	out := map[Use]int{}
	for _, u := range uses {
		out[u]++
	}
	return out
}

// add adds n of a use to a sum; n is negative for what goes.
func (s *Sum) add(u Use, n int) {
	many := max(n, -n)
	c, ok := Of(u)
	if !ok {
		s.Unknown += many
		return
	}
	s.Priced += many
	s.PerHour += c.PerHour * float64(n)
	s.PerMonth += c.PerMonth * float64(n)
}

// rounded cuts off what adding up in binary leaves.
func (c Cost) rounded() Cost {
	return Cost{PerHour: math.Round(c.PerHour*1e6) / 1e6, PerMonth: math.Round(c.PerMonth*100) / 100}
}

func (s Sum) rounded() Sum { s.Cost = s.Cost.rounded(); return s }

// Total is what uses cost together.
func Total(uses []Use) Sum {
	var s Sum
	counted := count(uses)
	for _, u := range slices.SortedFunc(maps.Keys(counted), compareUses) {
		s.add(u, counted[u])
	}
	return s.rounded()
}

// EstimateOf is what uses cost, item by item.
func EstimateOf(uses []Use) Estimate {
	e := Estimate{Currency: "USD", Total: Total(uses), Clouds: []CloudSum{}, Lines: []Line{}, LeftOut: LeftOut(), Sources: []Catalogue{}}
	counted := count(uses)
	byCloud := map[cloud.Provider][]Use{}
	for _, u := range uses {
		byCloud[u.Cloud] = append(byCloud[u.Cloud], u)
	}
	for _, c := range slices.Sorted(maps.Keys(byCloud)) {
		e.Clouds = append(e.Clouds, CloudSum{c, Total(byCloud[c])})
	}
	for _, u := range slices.SortedFunc(maps.Keys(counted), compareUses) {
		item := Line{Use: u, Count: counted[u]}
		if c, from, ok := find(u); ok {
			if !slices.Contains(e.Sources, from) {
				e.Sources = append(e.Sources, from)
			}
			all := Cost{c.PerHour * float64(item.Count), c.PerMonth * float64(item.Count)}.rounded()
			item.Price = &all
		} else {
			e.Unknown = append(e.Unknown, item.String())
		}
		e.Lines = append(e.Lines, item)
	}
	return e
}

// Changed is what it means for the bill that there is after in place of now.
func Changed(now, after []Use) Comparison {
	c := Comparison{After: EstimateOf(after), Now: Total(now)}
	before, then := count(now), count(after)
	all := maps.Clone(before)
	maps.Copy(all, then)
	for _, u := range slices.SortedFunc(maps.Keys(all), compareUses) {
		if n := then[u] - before[u]; n != 0 {
			c.Difference.add(u, n)
		}
	}
	c.Difference = c.Difference.rounded()
	return c
}

// String names a line: "3 × m6i.xlarge machine at aws (us-east-1)".
func (l Line) String() string {
	name := l.Type + " " + string(l.Part)
	if l.GiB > 0 {
		name = fmt.Sprintf("%s %s of %d GiB", l.Type, l.Part, l.GiB)
	}
	return fmt.Sprintf("%d × %s at %s (%s)", l.Count, strings.TrimSpace(name), l.Site, l.Region)
}

// String is a sum in words, like "USD 0.42 an hour, 307.33 a month".
func (s Sum) String() string {
	switch text := s.Cost.String(); {
	case s.Unknown == 0:
		return text
	case s.Priced == 0:
		return "unknown"
	default:
		return "at least " + text
	}
}

// String is a cost in words.
func (c Cost) String() string {
	return fmt.Sprintf("USD %s an hour, %s a month", Hourly(c.PerHour), Monthly(c.PerMonth))
}

// Hourly writes dollars an hour: to a hundredth of a cent, as a machine may cost less than a cent.
func Hourly(usd float64) string { return fmt.Sprintf("%.4f", usd) }

// Monthly writes dollars a month.
func Monthly(usd float64) string { return fmt.Sprintf("%.2f", usd) }

// Dates says of when the prices are: one day, or from which to which.
func (e Estimate) Dates() string {
	var dates []string
	for _, s := range e.Sources {
		dates = append(dates, s.Date)
	}
	slices.Sort(dates)
	switch dates = slices.Compact(dates); len(dates) {
	case 0:
		return ""
	case 1:
		return dates[0]
	}
	return dates[0] + " to " + dates[len(dates)-1]
}
