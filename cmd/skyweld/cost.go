package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/skyweld/skyweld/price"
)

// costLines says what a plan means for the bill, in a few lines; nothing where nothing is paid, before or after.
func costLines(w io.Writer, wide int, c price.Comparison) {
	after := c.After
	if count(after.Total) == 0 && count(c.Now) == 0 {
		return
	}
	fmt.Fprintf(w, "\nCost: %s%s\n", whole(after.Total), beside(c))
	for _, one := range after.Clouds {
		if len(after.Clouds) > 1 {
			fmt.Fprintf(w, "  %-13s %s\n", one.Cloud, one.Sum)
		}
	}
	if len(after.Unknown) > 0 {
		fmt.Fprintln(w, wrap("No price is known of "+strings.Join(after.Unknown, ", ")+".", wide, ""))
	}
	if count(after.Total) > 0 {
		on := "On demand"
		if dates := after.Dates(); dates != "" {
			on = "Prices of " + dates + ", on demand"
		}
		fmt.Fprintln(w, wrap(fmt.Sprintf("%s, 730 hours a month. Not in it: %s.", on, strings.Join(after.LeftOut, "; ")), wide, ""))
	}
}

func count(s price.Sum) int { return s.Priced + s.Unknown }

// whole is a sum in words.
func whole(s price.Sum) string {
	if count(s) == 0 {
		return "nothing"
	}
	return s.String()
}

// beside says what changes of the bill.
func beside(c price.Comparison) string {
	switch d := c.Difference; {
	case count(d) == 0:
		return ", as now"
	case count(c.Now) == 0:
		return ""
	case d.Priced == 0:
		return " (now " + whole(c.Now) + "; the difference is unknown)"
	default:
		text := fmt.Sprintf(" (now %s; %s an hour, %s a month", whole(c.Now), signed(d.PerHour, price.Hourly), signed(d.PerMonth, price.Monthly))
		if d.Unknown > 0 {
			text += fmt.Sprintf(", and %s without a price", counted(d.Unknown, "thing"))
		}
		return text + ")"
	}
}

// signed writes an amount with its sign.
func signed(usd float64, write func(float64) string) string {
	if usd < 0 {
		return "-" + write(-usd)
	}
	return "+" + write(usd)
}

// hourly and monthly are the cells of lists.
func hourly(s price.Sum) string { return cell(s, s.PerHour, price.Hourly) }

func monthly(s price.Sum) string { return cell(s, s.PerMonth, price.Monthly) }

func cell(s price.Sum, usd float64, write func(float64) string) string {
	switch {
	case count(s) == 0:
		return ""
	case s.Priced == 0:
		return "unknown"
	case s.Unknown > 0:
		return ">=" + write(usd)
	}
	return write(usd)
}
