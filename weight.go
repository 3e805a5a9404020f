package lease

import "math"

// weighing is how much of a worker's load an item is, as a value: what its row says of that,
// and what the work on it has measured.
type weighing struct {
	row     float64 // the row's weight, as it was shown last
	said    float64 // by the work, last; 0: nothing was
	average float64 // of what was said, from the row's weight on
}

const (
	leastWeight = 0.01 // of what was measured: an idle item is light, not average
	mostWeight  = 1e9
)

// isMeasure tells of what a work says that it may be a weight.
func isMeasure(weight float64) bool {
	return weight >= 0 && !math.IsInf(weight, 1) // NaN is neither
}

// withinBounds returns a weight within the bounds of what is measured.
func withinBounds(weight float64) float64 { return min(max(weight, leastWeight), mostWeight) }

// heard returns it after the work has said a weight.
func (w weighing) heard(weight float64) weighing {
	isFirst := w.said == 0
	if isFirst {
		w.average = withinBounds(w.row)
	}
	w.said = withinBounds(weight)
	return w
}

// renewed returns it after a renewal, whose reply has shown the row's weight.
func (w weighing) renewed(row float64) weighing {
	w.row = row
	w.average = w.next()
	return w
}

// next is the average after one renewal more: one that follows all at once would move items
// for every noise.
func (w weighing) next() float64 { return w.average + (w.said-w.average)/5 }

// toWrite returns the weight that the next renewal is to write; ok is false if it is to write
// none: nothing was said, or the row's is near enough. It may be asked again: it is a
// renewal's reply that changes the answer.
func (w weighing) toWrite() (weight float64, ok bool) {
	if w.said == 0 {
		return 0, false
	}
	const near = 1.5
	next := w.next()
	isHeavier := next > near*w.row
	isLighter := near*next < w.row
	if isHeavier || isLighter {
		return fourDigits(next), true
	}
	return 0, false
}

// fourDigits rounds a number above 0 to its four first digits, whichever these are: what it is
// divided by is a power of ten that a float64 holds, so that no others follow.
func fourDigits(n float64) float64 {
	const digits = 4
	after := digits - 1 - int(math.Floor(math.Log10(n))) // the decimal point
	if after < 0 {
		unit := math.Pow10(-after)
		return math.Round(n/unit) * unit
	}
	unit := math.Pow10(after)
	return math.Round(n*unit) / unit
}
