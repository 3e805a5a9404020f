package lease

import (
	"math"
	"math/rand/v2"
	"time"
)

// planner decides what a HoldShare does: what to lease and to wish for, and when to
// look again. It is told what came of that, and keeps what is to be remembered from one
// look to the next. It asks no clock and sends nothing. Its methods are for one goroutine.
type planner struct {
	me       string        // this worker's LesseeID
	duration time.Duration // of its leases
	most     int           // how many items it may work on at once
	random   *rand.Rand

	working   map[string]bool      // the items that it works on
	wishes    map[string]LeaseItem // its wishes: the items as they were when it wished for them
	resting   map[string]pause     // the items that it leaves to others for a while
	deaf      map[string]pause     // the holders that let its wishes run out
	restless  pause                // in which it wishes for nothing, as its work soon ended
	freeSince map[string]time.Time // the items that its looks have shown free, since when
	ends      map[string]int64     // LeaseUntil of all items at the last look
	batch     int                  // how many free items the next look may lead it to lease

	round round
}

func newPlanner(request requested, most int, random *rand.Rand) *planner {
	if most == 0 {
		most = math.MaxInt
	}
	return &planner{
		me:        request.lessee,
		duration:  request.duration,
		most:      most,
		random:    random,
		working:   make(map[string]bool),
		wishes:    make(map[string]LeaseItem),
		resting:   make(map[string]pause),
		deaf:      make(map[string]pause),
		freeSince: make(map[string]time.Time),
		batch:     1,
	}
}

// period is a third of a lease: the time from look to look, and from renewal to renewal.
func (p *planner) period() time.Duration { return max(p.duration/3, 1) }

// room is how many more items it may work on.
func (p *planner) room() int { return max(0, p.most-len(p.working)) }

// A round is what follows on a look: own rows are leased, then free ones, then wishes
// are made.
type round struct {
	stage    stage
	items    []LeaseItem    // what the look has shown, in random order
	unseen   bool           // it has shown no more than that they are there
	counts   map[string]int // how many items each worker is to have, this one included
	taking   taking         // what is being leased
	free     []candidate    // those that have long been free come first
	longFree int            // how many those are
	took     bool           // something was leased
}

type stage int

const (
	takingOwn stage = iota
	takingFree
	wishing
)

// step is a part of a round. Its requests are sent side by side. The planner is told
// what came of each, by leased, failed or wished, but nothing of an item that another
// was faster to lease; and when all have ended, next says what follows.
type step struct {
	kind  stepKind
	items []candidate // to lease, or to wish for
	look  time.Time   // when to look again
}

type stepKind int

const (
	lookAgain stepKind = iota
	leaseItems
	makeWishes
)

// candidate is an item to lease or to wish for.
type candidate struct {
	LeaseItem
	unseen     bool // nothing is known of it but that it is there
	wished     bool // this worker has wished for it
	handedToMe bool // by its token it is the tenure that was wished of: nobody has leased it since
}

// looked begins a round. inUse tells of an item that this Locker uses already.
func (p *planner) looked(now time.Time, seen page, inUse func(leaseID string) bool) step {
	items := seen.items
	p.random.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
	p.listen(now, items)
	p.round = round{items: items, unseen: seen.unseen, counts: p.count(now, items)}
	p.forget(items)
	own := p.classify(now, inUse)
	p.round.taking = taking{candidates: own, want: p.room()}
	return p.next(now, true)
}

// next returns the next step of the round. storeAnswers is false if the last one was given
// up, as none of a wave of its requests was answered.
func (p *planner) next(now time.Time, storeAnswers bool) step {
	r := &p.round
	if batch := r.taking.batch(storeAnswers); len(batch) > 0 {
		return step{kind: leaseItems, items: batch}
	}
	switch r.stage {
	case takingOwn:
		r.stage = takingFree
		r.took = r.taking.got > 0 // Own rows are in the counts already.
		r.taking = p.takeFree()
		return p.next(now, true)
	case takingFree:
		r.stage = wishing
		left := p.endTaking()
		if wanted := p.wish(now, left); len(wanted) > 0 {
			return step{kind: makeWishes, items: wanted}
		}
	}
	return step{kind: lookAgain, look: p.nextLook(now)}
}

// leased notes that this worker works on an item from now on.
func (p *planner) leased(leaseID string) {
	p.working[leaseID] = true
	delete(p.wishes, leaseID)
	p.round.taking.got++
}

// failed notes that the request to lease an item has failed: it is left alone for a period.
func (p *planner) failed(now time.Time, leaseID string) {
	p.resting[leaseID] = p.resting[leaseID].steady(now, p.period())
}

// wished notes a wish. Whether it was written the next look shows.
func (p *planner) wished(item LeaseItem) { p.wishes[item.LeaseID] = item }

// heir tells who is to have an item: who wants it, else who holds it; "" if it is for
// nobody.
func (p *planner) heir(now time.Time, item LeaseItem) string {
	if item.isFree(now) {
		return ""
	}
	if item.isWanted(now) {
		return item.WantedBy
	}
	return item.LesseeID
}

// count counts the items that each worker is to have. This one is among the workers.
func (p *planner) count(now time.Time, items []LeaseItem) map[string]int {
	counts := map[string]int{p.me: 0}
	for _, item := range items {
		counts[p.heir(now, item)]++
	}
	delete(counts, "")
	return counts
}

// nextLook returns when to look again, and remembers the ends of the leases that this
// look has shown.
func (p *planner) nextLook(now time.Time) time.Time {
	wait := p.wait()
	next := now.Add(wait - wait/20 + p.upTo(wait/10))
	ends := make(map[string]int64, len(p.round.items))
	for _, item := range p.round.items {
		ends[item.LeaseID] = item.LeaseUntil
		if !p.isEnding(now, item) {
			continue
		}
		if end := item.Until.Add(time.Millisecond + p.upTo(p.period()/10)); end.Before(next) {
			next = end
		}
	}
	p.ends = ends
	return next
}

// isEnding tells of another's lease that wasn't renewed since the last look.
func (p *planner) isEnding(now time.Time, item LeaseItem) bool {
	isOthers := item.LesseeID != p.me && item.Until.After(now)
	return isOthers && item.LeaseUntil == p.ends[item.LeaseID]
}

// wait is the usual time to the next look: short while items move, and long in large,
// quiet fleets.
func (p *planner) wait() time.Duration {
	const largeFleet = 100 // workers
	const longestPeriod = time.Hour
	workers := len(p.round.counts)
	if p.round.took {
		return p.period()/30 + p.upTo(p.period()/30)
	}
	if len(p.wishes) > 0 {
		return min(p.period()/3, 20*time.Second) // Others' leases may be much shorter.
	}
	if workers > largeFleet && len(p.freeSince) == 0 {
		slot := min(p.period(), longestPeriod) / largeFleet
		return max(p.period(), slot*time.Duration(workers))
	}
	return p.period()
}

// upTo returns a random duration of at most that.
func (p *planner) upTo(most time.Duration) time.Duration {
	return time.Duration(p.random.Int64N(int64(most) + 1))
}

// lookFailed returns when to look again after a look that failed.
func (p *planner) lookFailed(now time.Time) time.Time {
	const most = 10 * time.Second
	wait := min(max(p.period(), minErrorWait), most)
	return now.Add(wait)
}

// requestTimeout is how long a request to lease or to wish may take of a worker whose
// leases last so long: what is late holds up the looks.
func requestTimeout(duration time.Duration) time.Duration {
	return min(max(time.Second, duration/6), 5*time.Second)
}
