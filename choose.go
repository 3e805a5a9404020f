package lease

import "time"

// usage is what a Locker does with an item under one LesseeID.
type usage int

const (
	unheld    usage = iota // it has no live tenure
	unrenewed              // it has one, but nothing renews it: a Heartbeat may be about to start
	inUse                  // it is being leased or released, or something renews it
)

// looker is who looks for an item to lease.
type looker struct {
	me         string
	now        time.Time
	waitsUntil time.Time // until when it waits
	usage      func(leaseID string) usage
}

// choice is what there is to lease among some items. Those in use are nowhere in it.
type choice struct {
	unseen    bool        // nothing is known of the items but that they are there
	own       []LeaseItem // rows of this worker's: a restarted one goes on with them at once
	free      []LeaseItem // anybody's
	unrenewed []LeaseItem // of this Locker's live tenures: to be tried when all others are held
	ending    []LeaseItem // others', whose leases end before the horizon
}

// choose sorts items out, each by what it was seen to be.
func (l looker) choose(seen page) (c choice) {
	c.unseen = seen.unseen
	for _, item := range seen.items {
		usage := l.usage(item.LeaseID)
		if usage == inUse {
			continue
		}
		isToBeHad := item.isFor(l.me, l.now)
		switch {
		case isToBeHad && usage == unrenewed:
			c.unrenewed = append(c.unrenewed, item)
		case item.LesseeID == l.me:
			c.own = append(c.own, item)
		case isToBeHad:
			c.free = append(c.free, item)
		case item.Until.Before(l.waitsUntil):
			c.ending = append(c.ending, item)
		}
	}
	return c
}

// isFor tells that a lessee may lease the item: it is free, or that one's own.
func (i LeaseItem) isFor(lessee string, now time.Time) bool {
	return i.LesseeID == lessee || i.isFree(now)
}

// inOrder returns what is to be tried, in order: own rows first, then free ones at
// random, so that those who look at once get different ones. Unseen ones keep the order
// of their store.
func (c choice) inOrder(shuffle func(n int, swap func(i, j int))) []LeaseItem {
	free := c.free
	if !c.unseen {
		shuffle(len(free), func(i, j int) { free[i], free[j] = free[j], free[i] })
	}
	return append(c.own, free...)
}

// firstEnd returns the item whose lease ends first.
func firstEnd(items []LeaseItem) LeaseItem {
	first := items[0]
	for _, item := range items {
		if item.Until.Before(first.Until) {
			first = item
		}
	}
	return first
}

// endedBy returns the items whose leases end before that time.
func endedBy(items []LeaseItem, then time.Time) (ended []LeaseItem) {
	for _, item := range items {
		if item.Until.Before(then) {
			ended = append(ended, item)
		}
	}
	return ended
}
