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
	capacity float64       // how much load it carries, next to other workers
	random   *rand.Rand

	working    map[string]int64     // the items that it works on, by the tokens; 0: unknown
	busy       map[string]bool      // the items whose lease was asked for, and not answered yet
	hung       map[string]bool      // the items, given up, of stuck works that have not returned
	wishes     map[string]wishMade  // its wishes, by the items
	heeding    map[string]heeding   // how its wishes fared with each holder
	resting    map[string]pause     // the items that it leaves to others for a while
	ended      map[string]ended     // the tenures whose work has ended, by the items
	stays      map[string]time.Time // until when items are leased to it that it doesn't use
	restless   pause                // in which it wishes for nothing, as its work soon ended
	freeSince  map[string]time.Time // the items that its looks have shown free, since when
	ends       map[string]int64     // LeaseUntil of all items at the last look
	travels    travels              // of the items
	hasSettled bool                 // a look has led it to nothing that was free
	batch      int                  // how many free items the next look may lead it to lease

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
		capacity:  positiveOrOne(request.capacity),
		random:    random,
		working:   make(map[string]int64),
		busy:      make(map[string]bool),
		hung:      make(map[string]bool),
		wishes:    make(map[string]wishMade),
		heeding:   make(map[string]heeding),
		resting:   make(map[string]pause),
		ended:     make(map[string]ended),
		stays:     make(map[string]time.Time),
		freeSince: make(map[string]time.Time),
		batch:     1,
	}
}

// period is a third of a lease: the time from renewal to renewal.
func (p *planner) period() time.Duration { return max(p.duration/3, 1) }

// pace is the usual time from look to look. Long leases are shared as fast as those of a
// minute and a half: they only make a death be noticed late.
func (p *planner) pace() time.Duration { return min(p.period(), 30*time.Second) }

// limit is how many items it may work on beside those of stuck works, which run still.
func (p *planner) limit() int { return p.most - len(p.hung) }

// room is how many more items it may work on.
func (p *planner) room() int { return max(0, p.limit()-len(p.working)-len(p.busy)) }

// A round is what follows on a look: own rows are leased, and given back where they are
// reserved and of no use; wishes outside of its class are withdrawn; then free items are leased;
// then wishes are made.
type round struct {
	stage    stage
	items    []LeaseItem     // what the look has shown of its class, in random order
	used     map[string]bool // those that this Locker uses beside this worker's, or whose work hangs
	unseen   bool            // it has shown no more than that they are there
	dead     map[string]bool // the lessees that have let a lease end
	lookers  int             // how many workers look at the table, in any class
	counts   map[string]int  // how many items each worker is to have, this one included
	loads    loads           // and how heavy that is for it
	taking   taking          // what is being leased
	own      []candidate     // the rows of this worker
	useless  []candidate     // own rows that it can't use
	unwanted []candidate     // wishes for items in which it has no part any more
	free     []candidate     // those that it takes beyond its share too come first, then the heaviest
	beyond   int             // how many those are
	left     int             // how many free ones were not leased
	leftover float64         // what those weigh
	took     bool            // something was leased
	outrun   bool            // something wasn't, as another was faster: there may be more
}

type stage int

const (
	takingOwn stage = iota
	givingBack
	withdrawing
	takingFree
	wishing
)

// step is a part of a round. Its requests are sent side by side. The planner is told
// what came of each, by leased, outrun, failed or wished; and when all have been answered,
// or were waited for long enough, next says what follows. An answer counts whenever it
// comes.
type step struct {
	kind  stepKind
	items []candidate // to lease, to give back, or whose wishes to make or to withdraw
	look  time.Time   // when to look again
}

type stepKind int

const (
	lookAgain stepKind = iota
	leaseItems
	giveBack
	makeWishes
	withdrawWishes
)

// candidate is an item to lease or to wish for.
type candidate struct {
	LeaseItem
	unseen     bool      // nothing is known of it but that it is there
	wished     bool      // this worker has wished for it
	handedToMe bool      // by its token it is the tenure that was wished of: nobody has leased it since
	wishUntil  time.Time // until when it is wished for
}

// looked begins a round. inUse tells of an item that this Locker uses already. Items in
// which this worker has no part count for nobody; what it has of them it is to give up.
func (p *planner) looked(
	now time.Time, seen page, inUse func(leaseID string) bool,
) (first step, own news) {
	items := seen.items
	p.random.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
	all := seen.all()
	if !seen.unseen {
		own = p.compare(now, all)
	}
	own.outside = p.worked(seen.outside)
	p.listen(now, all)
	p.round = round{items: items, unseen: seen.unseen, dead: p.dead(now, all)}
	p.round.lookers = len(p.count(now, all))
	p.round.used = make(map[string]bool)
	p.round.counts = p.count(now, items)
	p.round.loads = p.weigh(now, items, all)
	p.forget(now, all)
	p.travels.follow(now, p.round.counts, items)
	p.classify(now, inUse)
	p.classifyOutside(now, seen.outside)
	p.round.taking = takingOf(p.round.own, p.room())
	return p.next(now, true), own
}

// next returns the next step of the round. storeAnswers is false if the last one was given
// up, as none of a wave of its requests was answered.
func (p *planner) next(now time.Time, storeAnswers bool) step {
	r := &p.round
	if batch := p.nextBatch(storeAnswers); len(batch) > 0 {
		return step{kind: leaseItems, items: batch}
	}
	switch r.stage {
	case takingOwn:
		r.stage = givingBack
		r.took = r.taking.got > 0 // Own rows are in the counts already.
		if useless := p.endTakingOwn(); len(useless) > 0 {
			return step{kind: giveBack, items: useless}
		}
		return p.next(now, true)
	case givingBack:
		r.stage = withdrawing
		if len(r.unwanted) > 0 {
			return step{kind: withdrawWishes, items: r.unwanted}
		}
		return p.next(now, true)
	case withdrawing:
		r.stage = takingFree
		r.taking = p.takeFree()
		return p.next(now, true)
	case takingFree:
		r.stage = wishing
		p.endTakingFree(now)
		if wanted := p.wish(now); len(wanted) > 0 {
			return step{kind: makeWishes, items: wanted}
		}
	}
	return step{kind: lookAgain, look: p.nextLook(now)}
}

// leased notes that this worker works on an item from now on, by that token.
func (p *planner) leased(leaseID string, token int64) {
	p.answered(leaseID)
	p.working[leaseID] = token
	delete(p.wishes, leaseID)
	delete(p.ended, leaseID)
	delete(p.stays, leaseID)
	if weight, isAsked := p.round.taking.asked[leaseID]; isAsked {
		p.round.taking.got++
		p.round.taking.gotWeight += weight
	}
}

// outrun notes that an item wasn't leased: another was faster, or it wasn't asked for.
func (p *planner) outrun(leaseID string) {
	p.answered(leaseID)
	if _, isAsked := p.round.taking.asked[leaseID]; isAsked {
		p.round.taking.outrun++
	}
}

// failed notes that the request to lease an item has failed: it is left alone for a while.
func (p *planner) failed(now time.Time, leaseID string) {
	p.answered(leaseID)
	p.unsure(leaseID, now.Add(p.duration))
	p.resting[leaseID] = p.resting[leaseID].steady(now, p.pace())
}

func (p *planner) answered(leaseID string) { delete(p.busy, leaseID) }

// dead are the other lessees that have let a lease end, and not released it: what they
// still hold is for nobody.
func (p *planner) dead(now time.Time, items []LeaseItem) map[string]bool {
	dead := make(map[string]bool)
	for _, item := range items {
		hasEnded := item.isFree(now) && !item.Until.IsZero()
		if hasEnded && p.isOther(item.LesseeID) {
			dead[item.LesseeID] = true
		}
	}
	return dead
}

// isOther tells that it is the name of another worker.
func (p *planner) isOther(lessee string) bool { return lessee != "" && lessee != p.me }

// heir tells who is to have an item: who wants it, else who holds it; "" if it is for
// nobody.
func (p *planner) heir(now time.Time, item LeaseItem) string {
	heir := item.LesseeID
	switch {
	case p.busy[item.LeaseID]:
		heir = p.me
	case item.isFree(now):
		return ""
	case item.isWanted(now):
		heir = item.WantedBy
	}
	if p.round.dead[heir] {
		return ""
	}
	return heir
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
