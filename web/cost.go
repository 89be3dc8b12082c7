package web

import (
	"strconv"
	"strings"

	"github.com/skyweld/skyweld/price"
)

// priced says whether a sum has anything in it.
func priced(s price.Sum) bool { return s.Priced+s.Unknown > 0 }

// monthlyWords is a sum per month, with what has no price said.
func monthlyWords(s price.Sum) string { return costWords(s, usd(s.PerMonth)) }

// hourlyWords is a sum per hour.
func hourlyWords(s price.Sum) string { return costWords(s, smallUSD(s.PerHour)) }

func costWords(s price.Sum, amount string) string {
	switch {
	case !priced(s):
		return "–"
	case s.Priced == 0:
		return "unknown"
	case s.Unknown > 0:
		return "at least " + amount
	}
	return amount
}

// costTitle says what a cell leaves out.
func costTitle(s price.Sum) string {
	switch {
	case !priced(s):
		return "Nothing is paid for"
	case s.Unknown > 0:
		return hourlyWords(s) + " an hour; " + counted(s.Unknown, "thing") + " without a known price"
	}
	return hourlyWords(s) + " an hour"
}

// differenceWords say what a plan means for the bill.
func differenceWords(c price.Comparison) string {
	d := c.Difference
	switch {
	case !priced(d):
		return "The cost stays as it is: " + monthlyWords(c.Now) + " a month."
	case d.Priced == 0:
		return "How the cost changes is not known: " + counted(d.Unknown, "thing") + " without a known price."
	}
	more := "more"
	if d.PerMonth < 0 {
		more, d.PerMonth, d.PerHour = "less", -d.PerMonth, -d.PerHour
	}
	text := usd(d.PerMonth) + " a month " + more + " (" + smallUSD(d.PerHour) + " an hour): "
	if priced(c.Now) {
		text += "now " + monthlyWords(c.Now) + ", then " + monthlyWords(c.After.Total)
	} else {
		text += monthlyWords(c.After.Total) + " in all"
	}
	if d.Unknown > 0 {
		text += "; " + counted(d.Unknown, "thing") + " without a known price"
	}
	return text + "."
}

// lineWords are what a line of an estimate is about.
func lineWords(l price.Line) string {
	words := string(l.Part) + " " + l.Type
	if l.GiB > 0 {
		words += ", " + grouped(int64(l.GiB)) + " GiB"
	}
	return sentence(strings.TrimSpace(words))
}

// linePrice is what all of a line's things cost together a month.
func linePrice(l price.Line, per func(price.Cost) string) string {
	if l.Price == nil {
		return "unknown"
	}
	return per(*l.Price)
}

func aMonth(c price.Cost) string { return usd(c.PerMonth) }

func anHour(c price.Cost) string { return smallUSD(c.PerHour) }

// sourceWords say where prices are from.
func sourceWords(e price.Estimate) string {
	var out []string
	for _, s := range e.Sources {
		out = append(out, providerName(string(s.Cloud))+": "+s.From+", "+s.Date)
	}
	return strings.Join(out, "; ")
}

// usd is an amount with cents, smallUSD one of which cents are much.
func usd(amount float64) string {
	whole, cents, _ := strings.Cut(price.Monthly(amount), ".")
	if n, err := strconv.ParseInt(whole, 10, 64); err == nil {
		whole = grouped(n)
	}
	return "$" + whole + "." + cents
}

func smallUSD(amount float64) string { return "$" + price.Hourly(amount) }
