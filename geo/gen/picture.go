package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/skyweld/skyweld/geo"
)

// The picture's size and its frame, in pixels.
const (
	wide, high             = 760, 520
	left, right, top, foot = 60, 20, 20, 70
)

// onAxis places a time on a logarithmic axis from 3 to 400 ms, as a part of its length.
func onAxis(ms float64) float64 { return math.Log(ms/3) / math.Log(400.0/3) }

// picture draws estimate against measurement: a dot for each measured pair, all in one path,, the line where both are the same, and the band.
func picture(pairs []pair, fit geo.Estimator) string {
	var b strings.Builder
	x := func(ms float64) float64 { return left + onAxis(ms)*(wide-left-right) }
	y := func(ms float64) float64 { return high - foot - onAxis(ms)*(high-top-foot) }
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", wide, high)
	fmt.Fprintf(&b, `<title>Round trips between %d pairs of regions: estimated from the distance, and measured</title>`+"\n", len(pairs))
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", wide, high)
	for _, ms := range []float64{5, 10, 20, 50, 100, 200} {
		fmt.Fprintf(&b, `<path d="M%.1f %d V%d M%d %.1f H%d" stroke="#ddd"/>`, x(ms), top, high-foot, left, y(ms), wide-right)
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%g</text><text x="%d" y="%.1f" text-anchor="end">%g</text>`+"\n", x(ms), high-foot+18, ms, left-6, y(ms)+4, ms)
	}
	var upper, lower []string
	for km := 60.0; km <= 20000; km *= 1.02 {
		ms, lo, hi := fit.Estimate(km)
		if ms > 400 {
			break
		}
		upper = append(upper, fmt.Sprintf("%.1f %.1f", x(ms), y(min(400, hi))))
		lower = append(lower, fmt.Sprintf("%.1f %.1f", x(ms), y(max(3, lo))))
	}
	for i, j := 0, len(lower)-1; i < j; i, j = i+1, j-1 {
		lower[i], lower[j] = lower[j], lower[i]
	}
	fmt.Fprintf(&b, `<path d="M%s Z" fill="#4a7" fill-opacity="0.12"/>`+"\n", strings.Join(append(upper, lower...), " L"))
	b.WriteString(`<path fill="none" stroke="#26c" stroke-opacity="0.45" stroke-width="4" stroke-linecap="round" d="`)
	for _, p := range pairs {
		ms, _, _ := fit.Estimate(p.km)
		fmt.Fprintf(&b, "M%.0f %.0fh0", x(ms), y(p.ms))
	}
	b.WriteString(`"/>` + "\n")
	fmt.Fprintf(&b, `<path d="M%.1f %.1f L%.1f %.1f" stroke="#333"/>`+"\n", x(3), y(3), x(400), y(400))
	fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" fill="none" stroke="#333"/>`+"\n", left, top, wide-left-right, high-top-foot)
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">estimated round trip, ms</text>`+"\n", (left+wide-right)/2, high-foot+38)
	fmt.Fprintf(&b, `<text transform="translate(16 %d) rotate(-90)" text-anchor="middle">measured round trip, ms</text>`+"\n", (top+high-foot)/2)
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle" fill="#555">%d pairs of Azure's regions. On the line both are the same; the shade is the band given with estimates.</text>`+"\n",
		(left+wide-right)/2, high-12, len(pairs))
	b.WriteString("</svg>\n")
	return b.String()
}
