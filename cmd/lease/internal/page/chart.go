package page

import (
	"fmt"
	"strings"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/history"
)

// costLine is a line of the picture of what the fleet costs.
type costLine struct {
	Class string
	Name  string
	Path  string
	X, Y  float64 // where its name is written
}

// costLines lay out units a second over time: writes, the workers' reads, and those of the page.
func costLines(costs []history.Cost, w window) (lines []costLine, ticks []tick) {
	kinds := []struct {
		class, name string
		of          func(c history.Cost) float64
	}{
		{"writes", "writes", func(c history.Cost) float64 { return c.Writes }},
		{"reads", "workers' reads", func(c history.Cost) float64 { return c.Reads }},
		{"looks", "this page's reads", func(c history.Cost) float64 { return c.Looks }},
	}
	most := 0.0
	for _, c := range costs {
		most = max(most, c.Writes, c.Reads, c.Looks)
	}
	top := niceTop(most)
	for _, value := range []float64{0, top / 2, top} {
		ticks = append(ticks, tick{At: height(value, top), Text: short(value)})
	}
	if len(costs) == 0 {
		return nil, ticks
	}
	for _, k := range kinds {
		line := costLine{Class: k.class, Name: k.name}
		line.Path = linePath(costs, w, top, k.of)
		last := costs[len(costs)-1]
		line.X = plotLeft + w.place(last.At, plotWidth) + 6
		line.Y = height(k.of(last), top)
		lines = append(lines, line)
	}
	spread(lines)
	return lines, ticks
}

// linePath has a level for the time that each cost is of, which ends with it.
func linePath(costs []history.Cost, w window, top float64, of func(history.Cost) float64) string {
	var path strings.Builder
	x := func(t time.Time) string { return coordinate(plotLeft + w.place(t, plotWidth)) }
	for n, c := range costs {
		begin := c.At.Add(-costStep)
		isNext := n > 0 && begin.Sub(costs[n-1].At) < costStep/2
		if isNext {
			fmt.Fprintf(&path, "L%s %s", x(costs[n-1].At), coordinate(height(of(c), top)))
		} else {
			fmt.Fprintf(&path, "M%s %s", x(begin), coordinate(height(of(c), top)))
		}
		fmt.Fprintf(&path, "H%s", x(c.At))
	}
	return path.String()
}

// spread moves names apart that would be written over each other.
func spread(lines []costLine) {
	const line = 14
	for n := range lines {
		for m := range n {
			if diff := lines[n].Y - lines[m].Y; diff > -line && diff < line {
				lines[n].Y = lines[m].Y - line
			}
		}
	}
}
