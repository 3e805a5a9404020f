package lease

import (
	"maps"
	"time"
)

// What a look shows of the workers' loads. A worker's load is what the items weigh that it
// is to have, over its capacity. Where all weigh 1 and all capacities are 1 it is their
// number.

// loads are those of all workers that a look shows, this one included.
type loads struct {
	weights    map[string]float64 // of the items that each worker is to have, together
	capacities map[string]float64 // of those of whom rows tell one, and this worker's
	total      float64            // what all items weigh, whoever is to have them
	areCounts  bool               // all weigh 1, and all capacities are 1
}

// of is the load of a worker.
func (l loads) of(worker string) float64 { return l.weights[worker] / l.capacity(worker) }

// capacity is that of a worker: 1, if no row tells it.
func (l loads) capacity(worker string) float64 { return positiveOrOne(l.capacities[worker]) }

// mean is the load that each worker would have, if items could be cut.
func (l loads) mean() float64 {
	capacity := 0.0
	for worker := range l.weights {
		capacity += l.capacity(worker)
	}
	return l.total / capacity
}

// copied returns loads that may be changed.
func (l loads) copied() loads {
	l.weights = maps.Clone(l.weights)
	return l
}

// moved returns the loads of two workers if so much weight moved from one to the other.
func (l loads) moved(weight float64, from, to string) (fromLoad, toLoad float64) {
	fromLoad = (l.weights[from] - weight) / l.capacity(from)
	toLoad = (l.weights[to] + weight) / l.capacity(to)
	return fromLoad, toLoad
}

// move moves so much weight from one worker to another.
func (l loads) move(weight float64, from, to string) {
	l.weights[from] -= weight
	l.weights[to] += weight
}

// isLess tells that a load is less than another by more than a billionth. The same weights
// add up to a little more or less in another order, and a level fleet is not to move for
// that. It is far less than any difference that is worth a move.
func isLess(a, b float64) bool {
	const tolerance = 1e-9
	return a < b-tolerance*b
}

// weigh returns the loads of all workers. All rows tell of capacities, those of items too in
// which this worker has no part.
func (p *planner) weigh(now time.Time, items, all []LeaseItem) loads {
	l := loads{
		weights:    map[string]float64{p.me: 0},
		capacities: p.capacities(now, all),
		areCounts:  true,
	}
	for _, item := range items {
		weight := item.weight()
		l.weights[p.heir(now, item)] += weight
		l.total += weight
		l.areCounts = l.areCounts && weight == 1
	}
	for _, capacity := range l.capacities {
		l.areCounts = l.areCounts && capacity == 1
	}
	delete(l.weights, "")
	return l
}

// capacities are those that rows tell of their holders, and this worker's. Of one whose rows
// differ the least counts: a worker that knows of no capacities leaves what a holder before it
// has written, which may be dead.
func (p *planner) capacities(now time.Time, items []LeaseItem) map[string]float64 {
	told := make(map[string]float64)
	for _, item := range items {
		// What was handed over its holder has not leased yet, and so not told it.
		tells := !item.isFree(now) && !item.isHandedOver()
		if tells {
			capacity := item.capacity()
			if least, isTold := told[item.LesseeID]; isTold {
				capacity = min(capacity, least)
			}
			told[item.LesseeID] = capacity
		}
	}
	told[p.me] = p.capacity
	return told
}
