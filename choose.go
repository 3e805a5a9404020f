package lease

import "time"

// usage is what a Locker does with an item under one LesseeID.
type usage int

const (
	unheld usage = iota // it has no live tenure
	unused              // it has one, but nothing renews it: a Heartbeat may be about to start
	inUse               // it is just being leased or released, or a Heartbeat, Hold or HoldShare runs on it
)

// looker is who looks for an item to lease.
type looker struct {
	me      string
	now     time.Time
	horizon time.Time // until when it waits
	usage   func(leaseID string) usage
}

// choice is what there is to lease among some items. Those in use are nowhere in it.
type choice struct {
	own    []LeaseItem // rows of this worker's: a restarted one goes on with them at once
	free   []LeaseItem // anybody's
	unused []LeaseItem // own ones with a live tenure of this Locker: to be tried when all others are held
	ending []LeaseItem // others', whose leases end before the horizon
}

// choose sorts items out, each by what it was seen to be.
func (l looker) choose(items []LeaseItem) (c choice) {
	for _, item := range items {
		usage := l.usage(item.LeaseID)
		if usage == inUse {
			continue
		}
		isOwn := item.LesseeID == l.me
		isFree := item.isFree(l.now)
		isToBeHad := isOwn || isFree
		switch {
		case isToBeHad && usage == unused:
			c.unused = append(c.unused, item)
		case isOwn:
			c.own = append(c.own, item)
		case isFree:
			c.free = append(c.free, item)
		case item.Until.Before(l.horizon):
			c.ending = append(c.ending, item)
		}
	}
	return c
}

// inOrder returns what is to be tried, in order: own rows first, then free ones at random, so that
// those who look at once get different ones. Unseen ones keep the order of their store.
func (c choice) inOrder(shuffle func(n int, swap func(i, j int))) []LeaseItem {
	free := c.free
	if len(free) > 0 && !free[0].unseen {
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
