package main

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// fleet is workers that share the items of a table by HoldShare.
type fleet struct {
	items    int
	workers  int
	duration time.Duration // of a lease
	rowBytes int           // of a row, all told
}

// prices are what DynamoDB asks on demand, in dollars for a million units.
type prices struct{ write, read float64 }

const (
	month = 730 * time.Hour

	// Of us-east-1, as of November 2024.
	writePrice = 0.625
	readPrice  = 0.125

	// usualRow is 100 bytes of yours, and what a lease adds.
	usualRow = 155
)

// writes are the write units a second: a renewal for each item and third of a lease.
func (f fleet) writes() float64 {
	const kilobyte = 1024
	units := math.Ceil(float64(f.rowBytes) / kilobyte)
	return float64(f.items) * units * 3 / f.duration.Seconds()
}

// look is the read units of one look at all items, eventually consistent.
func (f fleet) look() float64 {
	const block = 4096
	blocks := math.Ceil(float64(f.items) * float64(f.rowBytes) / block)
	return blocks / 2
}

// reads are the read units a second of all workers' looks.
func (f fleet) reads() float64 {
	const largeFleet = 100                 // beyond it the fleet's looks grow no more
	const longestPeriod = 30 * time.Second // from a worker's look to its next
	period := min(f.duration/3, longestPeriod)
	looks := float64(min(f.workers, largeFleet)) / period.Seconds()
	return looks * f.look()
}

// bill is what a fleet costs, in dollars a month.
type bill struct{ writes, reads float64 }

func (f fleet) bill(p prices) bill {
	return bill{writes: monthly(f.writes(), p.write), reads: monthly(f.reads(), p.read)}
}

// monthly is what so many units a second cost in a month.
func monthly(unitsASecond, price float64) float64 {
	const million = 1e6
	return unitsASecond * month.Seconds() * price / million
}

// check tells what is wrong with a fleet.
func (f fleet) check() error {
	for what, n := range map[string]int{"items": f.items, "workers": f.workers, "row": f.rowBytes} {
		if n < 1 {
			return fmt.Errorf("-%s is %d; want 1 or more", what, n)
		}
	}
	if f.duration < time.Second {
		return fmt.Errorf("-duration is %v; want 1s or more", f.duration)
	}
	return nil
}

// check tells what is wrong with prices.
func (p prices) check() error {
	for what, price := range map[string]float64{"write-price": p.write, "read-price": p.read} {
		isPrice := price >= 0 && !math.IsInf(price, 1)
		if !isPrice {
			return fmt.Errorf("-%s is %v; want dollars for a million units", what, price)
		}
	}
	return nil
}

// fourSizes are the fleets whose costs docs/deploy.md shows.
func fourSizes() (fleets []fleet) {
	sizes := []struct{ items, workers int }{{10, 2}, {1000, 10}, {10_000, 50}, {100_000, 200}}
	for _, size := range sizes {
		for _, duration := range []time.Duration{30 * time.Second, 5 * time.Minute} {
			fleets = append(fleets, fleet{size.items, size.workers, duration, usualRow})
		}
	}
	return fleets
}

// report is a table, in Markdown, of what fleets cost.
func report(fleets []fleet, p prices) string {
	var b strings.Builder
	b.WriteString("| items | workers | leases of | writes a second | read units a second " +
		"| writes | looks | $ a month |\n")
	b.WriteString("|---:|---:|---|---:|---:|---:|---:|---:|\n")
	for _, f := range fleets {
		cost := f.bill(p)
		duration := strings.TrimSuffix(f.duration.String(), "m0s")
		if duration != f.duration.String() {
			duration += "m"
		}
		fmt.Fprintf(&b, "| %s | %d | %s | %s | %s | %s | %s | **%s** |\n",
			grouped(float64(f.items)), f.workers, duration, figure(f.writes()), figure(f.reads()),
			dollars(cost.writes), dollars(cost.reads), dollars(cost.writes+cost.reads))
	}
	return b.String()
}

// figure is a number of units a second, to three digits or so.
func figure(n float64) string {
	if n < 10 {
		return fmt.Sprintf("%.2g", n)
	}
	return grouped(n)
}

func dollars(n float64) string {
	if n < 10 {
		return fmt.Sprintf("%.2f", n)
	}
	return grouped(n)
}

// grouped is a number, rounded, with a comma before each three digits.
func grouped(n float64) string {
	digits := fmt.Sprintf("%.0f", n)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}
