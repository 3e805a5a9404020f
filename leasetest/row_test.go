package leasetest

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"

	"github.com/intercom/lease"
)

// The row of these tests is held by w1 in its fifth tenure, and ends at 200. It is 100.
const (
	nowIs   = 100
	endIs   = 200
	nextEnd = 300 // the end that a write asks for
)

func heldRow() row {
	return row{holder: "w1", token: 5, until: endIs}
}

// changed is a held row in which something is different.
func changed(change func(r *row)) row {
	r := heldRow()
	change(&r)
	return r
}

var (
	freeRow     = row{token: 5}
	endedRow    = changed(func(r *row) { r.until = nowIs - 1 })
	wantedRow   = changed(func(r *row) { r.wish = wish{by: "w2", until: 150} })
	reservedRow = row{holder: "w2", token: 5, until: endIs, wish: wish{by: "w2", until: 150}}
	namesakeRow = changed(func(r *row) { r.namesakeUntil = 120 })
	keptRow     = row{token: 5, until: 120} // released, and kept until a namesake has given it up
)

// rowCase is what a write makes of a row.
type rowCase struct {
	before row
	write  func(r *row) outcome
	want   outcome
	after  row
}

// testRow has a tenure's Lease know the row's end. What it knows then isn't compared.
func testRow(t *testing.T, cases map[string]rowCase) {
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := c.before
			got.asked = got.until
			got.shown = got.until
			assert.Equal(t, c.want, c.write(&got))
			got.asked = 0
			got.shown = 0
			assert.Equal(t, c.after, got)
		})
	}
}

func TestRowLease(t *testing.T) {
	leaseBy := func(lessee string) func(r *row) outcome {
		return func(r *row) outcome { return r.lease(lessee, nextEnd, nowIs) }
	}
	byW2 := row{holder: "w2", token: 6, until: nextEnd}
	byW1 := row{holder: "w1", token: 6, until: nextEnd}
	atItsEnd := changed(func(r *row) { r.until = nowIs })
	wanted := func(r row, by string, until int64) row {
		r.wish = wish{by: by, until: until}
		return r
	}
	wantedAndEnded := changed(func(r *row) {
		r.until = nowIs - 1
		r.wish = wish{by: "w3", until: 150}
	})
	testRow(t, map[string]rowCase{
		"a free row":                 {freeRow, leaseBy("w2"), applied, byW2},
		"an ended row":               {endedRow, leaseBy("w2"), applied, byW2},
		"a row at its very end":      {atItsEnd, leaseBy("w2"), refused, atItsEnd},
		"a held row":                 {heldRow(), leaseBy("w2"), refused, heldRow()},
		"an own row":                 {heldRow(), leaseBy("w1"), applied, byW1},
		"an own row with a namesake": {namesakeRow, leaseBy("w1"), applied, byW1},
		"a wanted row":               {wantedRow, leaseBy("w1"), applied, wanted(byW1, "w2", 150)},
		"one that an operator wants": {
			wanted(heldRow(), "", 150), leaseBy("w1"), applied, wanted(byW1, "", 150),
		},
		"one that is wanted until now": {
			wanted(heldRow(), "w2", nowIs), leaseBy("w1"), applied, wanted(byW1, "w2", nowIs),
		},
		"one whose wish is over": {wanted(heldRow(), "w2", nowIs-1), leaseBy("w1"), applied, byW1},
		"a reservation":          {wanted(heldRow(), "w1", 150), leaseBy("w1"), applied, byW1},
		"a wanted row that has ended": {
			wantedAndEnded, leaseBy("w2"), applied, byW2,
		},
		"an own wanted row that has ended":  {wantedAndEnded, leaseBy("w1"), applied, byW1},
		"a row that is kept for a namesake": {keptRow, leaseBy("w1"), refused, keptRow},
	})
}

func TestRowLeaseAsSeen(t *testing.T) {
	nobody := predecessorOf(nil)
	seenBy := func(holder string, token, end int64) lease.LeaseItem {
		return lease.LeaseItem{LesseeID: holder, FencingToken: token, LeaseUntil: end}
	}
	asSeen := seenBy("w1", 5, endIs)
	later := seenBy("w1", 5, endIs+1)
	newer := seenBy("w1", 6, endIs)
	seenWanted := asSeen
	seenWanted.WantedBy = "w2"
	seenWanted.WantedUntil = wantedRow.wish.until
	leaseAs := func(
		lessee string, seen lease.LeaseItem, predecessor tenure, end int64,
	) func(r *row) outcome {
		return func(r *row) outcome { return r.leaseAsSeen(lessee, seen, predecessor, end, nowIs) }
	}
	wanted := row{
		holder: "w1", token: 6, until: nextEnd, namesakeUntil: endIs, wish: wantedRow.wish,
	}

	remembering := func(end, namesakeUntil int64) row {
		return row{holder: "w1", token: 6, until: end, namesakeUntil: namesakeUntil}
	}
	testRow(t, map[string]rowCase{
		"a free row": {
			freeRow, leaseAs("w2", lease.LeaseItem{}, nobody, nextEnd),
			applied, row{holder: "w2", token: 6, until: nextEnd},
		},
		"another's row that has ended later than it was seen to": {
			endedRow, leaseAs("w2", seenBy("w1", 5, nowIs-2), nobody, nextEnd),
			refused, endedRow,
		},
		"another's row that has ended later than it was seen to as an own one": {
			endedRow, leaseAs("w2", seenBy("w2", 4, nowIs-2), nobody, nextEnd),
			notAsSeen, endedRow,
		},
		"an own row that has ended later than it was seen to": {
			endedRow, leaseAs("w1", seenBy("w1", 5, nowIs-2), nobody, nextEnd),
			notAsSeen, endedRow,
		},
		"a row that has ended since, whatever its token was": {
			endedRow, leaseAs("w2", newer, nobody, nextEnd),
			applied, row{holder: "w2", token: 6, until: nextEnd},
		},
		"an own row that has ended: there is nothing to remember": {
			endedRow, leaseAs("w1", seenBy("w1", 5, nowIs-1), nobody, nextEnd),
			applied, remembering(nextEnd, 0),
		},
		"an own row that was seen live, and was released since": {
			freeRow, leaseAs("w1", asSeen, nobody, nextEnd),
			notAsSeen, freeRow,
		},
		"another's row": {
			heldRow(), leaseAs("w2", asSeen, nobody, nextEnd),
			refused, heldRow(),
		},
		"another's row that was seen as an own live one": {
			heldRow(), leaseAs("w2", seenBy("w2", 5, endIs), nobody, nextEnd),
			refused, heldRow(),
		},
		"an own row": {
			heldRow(), leaseAs("w1", asSeen, nobody, nextEnd),
			applied, remembering(nextEnd, endIs),
		},
		"an own row, to an earlier end": {
			heldRow(), leaseAs("w1", asSeen, nobody, endIs-1),
			applied, remembering(endIs, endIs),
		},
		"an own row with another end": {
			heldRow(), leaseAs("w1", later, nobody, nextEnd),
			notAsSeen, heldRow(),
		},
		"an own row with another token": {
			heldRow(), leaseAs("w1", newer, nobody, nextEnd),
			notAsSeen, heldRow(),
		},
		"an own row that is wanted, and was seen so": {
			wantedRow, leaseAs("w1", seenWanted, nobody, nextEnd),
			applied, wanted,
		},
		"an own row that is wanted since it was seen": {
			wantedRow, leaseAs("w1", asSeen, nobody, nextEnd),
			notAsSeen, wantedRow,
		},
		"an own row that was wanted when it was seen": {
			heldRow(), leaseAs("w1", seenWanted, nobody, nextEnd),
			applied, remembering(nextEnd, endIs),
		},
		"an own row as the predecessor left it": {
			heldRow(), leaseAs("w1", asSeen, mine, nextEnd),
			applied, remembering(nextEnd, 0),
		},
		"an own row as a predecessor with a namesake left it": {
			namesakeRow, leaseAs("w1", asSeen, mine, nextEnd),
			applied, remembering(nextEnd, 120),
		},
		"an own row that a namesake has leased after the predecessor": {
			heldRow(), leaseAs("w1", asSeen, earlier, nextEnd),
			applied, remembering(nextEnd, endIs),
		},
		"a reservation after what a Locker makes up": {
			reservedRow, leaseAs("w2", seenBy("w2", 5, endIs), literalOf("w2"), nextEnd),
			applied, row{holder: "w2", token: 6, until: nextEnd},
		},
	})
}

var (
	mine    = tenure{lessee: "w1", token: 5}
	others  = tenure{lessee: "w2", token: 5}
	earlier = tenure{lessee: "w1", token: 4}
	literal = literalOf("w1")
)

// literalOf is a tenure by a Lease that was made by hand.
func literalOf(lessee string) tenure {
	return tenure{lessee: lessee, token: 5, duration: time.Hour, mark: number(5)}
}

func TestRowRenew(t *testing.T) {
	renewBoth := func(by tenure, end, wishEnd int64) func(r *row) outcome {
		return func(r *row) outcome { return r.renew(by, renewal{end: end, wishEnd: wishEnd}) }
	}
	renew := func(by tenure, end int64) func(r *row) outcome { return renewBoth(by, end, 0) }
	moved := changed(func(r *row) { r.until = nextEnd })
	movedWithWish := func(by string, wishEnd int64) row {
		return changed(func(r *row) {
			r.until = nextEnd
			r.wish = wish{by: by, until: wishEnd}
		})
	}
	operators := changed(func(r *row) { r.wish = wish{by: "", until: 150} })
	short := changed(func(r *row) {
		r.until = 110
		r.namesakeUntil = 120
	})
	lengthened := changed(func(r *row) {
		r.until = 120
		r.namesakeUntil = 120
	})
	unheeded := changed(func(r *row) {
		r.until = 115
		r.namesakeUntil = 120
	})
	testRow(t, map[string]rowCase{
		"to a later end":             {heldRow(), renew(mine, nextEnd), applied, moved},
		"to the same end":            {heldRow(), renew(mine, endIs), applied, heldRow()},
		"to an earlier end":          {heldRow(), renew(mine, endIs-1), overtaken, heldRow()},
		"to before a namesake's end": {short, renew(mine, 115), applied, lengthened},
		"to before a namesake's end, by a literal": {
			short, renew(literal, 115), applied, unheeded,
		},
		"of a wanted row": {
			wantedRow, renew(mine, nextEnd), applied, movedWithWish("w2", 150),
		},
		"and its wish": {
			wantedRow, renewBoth(mine, nextEnd, 190), applied, movedWithWish("w2", 190),
		},
		"and an operator's": {
			operators, renewBoth(mine, nextEnd, 190), applied, movedWithWish("", 190),
		},
		"and a wish that is gone": {heldRow(), renewBoth(mine, nextEnd, 190), applied, moved},
		"and its wish, to an earlier end": {
			wantedRow, renewBoth(mine, endIs-1, 190), overtaken, wantedRow,
		},
		"of an ended row that nobody has": {endedRow, renew(mine, nextEnd), applied, moved},
		"by another lessee": {
			wantedRow, renewBoth(others, nextEnd, 190), refused, wantedRow,
		},
		"by an earlier tenure": {
			wantedRow, renewBoth(earlier, nextEnd, 190), refused, wantedRow,
		},
		"of a released row": {freeRow, renew(mine, nextEnd), refused, freeRow},
	})
}

// knowing is a row whose tenure's Lease knows of other ends than the row has.
func knowing(r row, asked, shown int64) row {
	r.asked = asked
	r.shown = shown
	return r
}

func TestRowRemembersWhatTheTenureAskedForAndWasShown(t *testing.T) {
	row := knowing(heldRow(), 210, 205)
	row.renew(literal, renewal{end: 400})
	assert.Equal(t, knowing(row, 210, 205), row, "whatever a literal does")
	row.renew(mine, renewal{end: 300})
	assert.Equal(t, knowing(row, 300, 400), row, "by the reply, though that is overtaken")
	row.renew(mine, renewal{end: 290})
	assert.Equal(t, knowing(row, 300, 400), row, "the furthest counts")
	row.renew(mine, renewal{end: 500})
	assert.Equal(t, knowing(row, 500, 500), row)
}

// weighing is a held row of a weight, whose tenure has asked for an end with one.
func weighing(weight string, until, weighed int64) row {
	return changed(func(r *row) {
		r.weight = &dynamodb.AttributeValue{N: &weight}
		r.until = until
		r.weighed = weighed
	})
}

func TestRowRenewWritesAWeightAndNoEndTwiceWithOne(t *testing.T) {
	weigh := func(by tenure, end int64, weight float64) func(r *row) outcome {
		return func(r *row) outcome { return r.renew(by, renewal{end: end, weight: weight}) }
	}
	of := weighing
	testRow(t, map[string]rowCase{
		"the first":                 {heldRow(), weigh(mine, nextEnd, 2.5), applied, of("2.5", nextEnd, nextEnd)},
		"to the end that it has":    {heldRow(), weigh(mine, endIs, 2.5), applied, of("2.5", endIs+1, endIs+1)},
		"to an end that is past":    {heldRow(), weigh(mine, 10, 2.5), applied, of("2.5", endIs+1, endIs+1)},
		"a later one":               {of("2.5", endIs, endIs), weigh(mine, nextEnd, 7), applied, of("7", nextEnd, nextEnd)},
		"a second one to one end":   {of("2.5", endIs, endIs), weigh(mine, endIs, 7), applied, of("7", endIs+1, endIs+1)},
		"none, to one end":          {of("2.5", endIs, endIs), weigh(mine, endIs, 0), applied, of("2.5", endIs, endIs)},
		"a small one":               {heldRow(), weigh(mine, nextEnd, 0.01), applied, of("0.01", nextEnd, nextEnd)},
		"a large one":               {heldRow(), weigh(mine, nextEnd, 1e9), applied, of("1000000000", nextEnd, nextEnd)},
		"one of an earlier tenure":  {heldRow(), weigh(earlier, nextEnd, 2.5), refused, heldRow()},
		"one of a released row":     {freeRow, weigh(mine, nextEnd, 2.5), refused, freeRow},
		"one of somebody else's":    {heldRow(), weigh(others, nextEnd, 2.5), refused, heldRow()},
		"one whose wish has no end": {wantedRow, weigh(mine, endIs, 0), applied, wantedRow},
	})
	moved := of("2.5", nextEnd, endIs)
	moved.asked = endIs
	moved.shown = endIs
	before := moved
	assert.Equal(t, overtaken, moved.renew(mine, renewal{end: endIs, weight: 7}))
	assert.Equal(t, before.weight, moved.weight, "a renewal that was overtaken writes none")
	assert.Equal(t, applied, moved.renew(mine, renewal{end: endIs, weight: 7}))
	assert.Equal(t, "7", *moved.weight.N)
	assert.Equal(t, int64(nextEnd+1), moved.until, "beyond the end that the tenure was shown")
}

func TestRowsCapacityIsItsHolders(t *testing.T) {
	spacious := changed(func(r *row) { r.capacity = 2.5 })
	for name, change := range map[string]func(r *row){
		"a release":          func(r *row) { r.release(literal) },
		"a handover":         func(r *row) { r.wish = wantedRow.wish; r.handOver(literal, nextEnd, nowIs) },
		"another's lease":    func(r *row) { r.lease("w2", nextEnd, endIs+1) },
		"a lease as seen":    func(r *row) { r.leaseAsSeen("w2", lease.LeaseItem{LeaseUntil: endIs}, tenure{}, nextEnd, endIs+1) },
		"a lease of its own": func(r *row) { r.lease("w1", nextEnd, nowIs) },
	} {
		r := spacious
		change(&r)
		assert.Zero(t, r.capacity, name)
		assert.NotContains(t, r.attributes(), capacityAttribute, name)
	}
	r := spacious
	r.renew(mine, renewal{end: nextEnd})
	assert.Equal(t, 2.5, r.capacity, "a renewal leaves it")
	for capacity, want := range map[float64]float64{1: 0, 0.5: 0.5, 2.5: 2.5} {
		r := heldRow()
		l := &lease.Lease{}
		r.grant(l, capacity)
		assert.Equal(t, want, r.capacity)
	}
}

func TestRowIsGivenAwayIfItEndsNoLaterThanTheTenureAskedFor(t *testing.T) {
	for name, give := range map[string]func(r *row, by tenure) outcome{
		"release":  func(r *row, by tenure) outcome { return r.release(by) },
		"handover": func(r *row, by tenure) outcome { return r.handOver(by, nextEnd, nowIs) },
	} {
		t.Run(name, func(t *testing.T) {
			row := knowing(wantedRow, endIs-1, endIs)
			before := row
			assert.Equal(t, refused, give(&row, mine))
			assert.Equal(t, before, row)
			assert.Equal(t, applied, give(&row, literal), "which may have asked for any end")

			row = knowing(wantedRow, endIs+1, endIs)
			assert.Equal(t, applied, give(&row, mine))
		})
	}
}

func TestRowWant(t *testing.T) {
	seen := lease.LeaseItem{LesseeID: "w1", FencingToken: 5}
	seenWithWish := lease.LeaseItem{LesseeID: "w1", FencingToken: 5, WantedUntil: 150}
	byW3 := wish{by: "w3", until: 180}
	want := func(seen lease.LeaseItem) func(r *row) outcome {
		return func(r *row) outcome { return r.want(seen, byW3, nowIs) }
	}
	wanted := changed(func(r *row) { r.wish = byW3 })
	wantedOnce := changed(func(r *row) { r.wish = wish{by: "w2", until: nowIs - 1} })
	testRow(t, map[string]rowCase{
		"a row without a wish":              {heldRow(), want(seen), applied, wanted},
		"a row with the wish that was seen": {wantedRow, want(seenWithWish), applied, wanted},
		"a row with another wish":           {wantedRow, want(seen), refused, wantedRow},
		"a row with a wish that is past":    {wantedOnce, want(seen), applied, wanted},
		"a row with this very wish":         {wanted, want(seen), appliedBefore, wanted},
		"a row with another holder": {
			heldRow(), want(lease.LeaseItem{LesseeID: "w2", FencingToken: 5}), refused, heldRow(),
		},
		"a row in another tenure": {
			heldRow(), want(lease.LeaseItem{LesseeID: "w1", FencingToken: 4}), refused, heldRow(),
		},
	})
}

func TestRowWithdraw(t *testing.T) {
	withdraw := func(by string, until int64) func(r *row) outcome {
		return func(r *row) outcome { return r.withdraw(wish{by: by, until: until}) }
	}
	wantedBy := func(by string) row {
		return changed(func(r *row) { r.wish = wish{by: by, until: 150} })
	}
	testRow(t, map[string]rowCase{
		"a wish":                      {wantedRow, withdraw("w2", 150), applied, heldRow()},
		"an operator's":               {wantedBy(""), withdraw("", 150), applied, heldRow()},
		"one that ends otherwise":     {wantedRow, withdraw("w2", 149), notAsSeen, wantedRow},
		"another's":                   {wantedRow, withdraw("w3", 150), refused, wantedRow},
		"none":                        {heldRow(), withdraw("w2", 150), refused, heldRow()},
		"an operator's, who has none": {heldRow(), withdraw("", 0), refused, heldRow()},
		"of what was handed over":     {wantedBy("w1"), withdraw("w1", 150), refused, wantedBy("w1")},
	})
}

func TestRowHandOver(t *testing.T) {
	const horizon = nowIs + int64(10*time.Minute)
	handOver := func(by tenure) func(r *row) outcome {
		return func(r *row) outcome { return r.handOver(by, nextEnd, nowIs) }
	}
	wantedBy := func(by string, until int64) row {
		return changed(func(r *row) { r.wish = wish{by: by, until: until} })
	}
	const hour = int64(time.Hour)
	long := func(wanted int64) row {
		return changed(func(r *row) {
			r.until = nowIs + hour
			r.wish = wish{by: "w2", until: nowIs + wanted}
		})
	}
	withNamesake := func(until int64) row {
		return changed(func(r *row) {
			r.wish = wantedRow.wish
			r.namesakeUntil = until
		})
	}
	reserved := func(wishEnd int64) row {
		return row{holder: "w2", token: 5, until: nextEnd, wish: wish{by: "w2", until: wishEnd}}
	}
	pastReservation := reserved(nowIs - 1)
	afterNamesake := reserved(150)
	afterNamesake.namesakeUntil = nowIs - 1
	namesakesReservation := reserved(150)
	namesakesReservation.namesakeUntil = 120
	newTenure := row{holder: "w2", token: 6, until: nextEnd}

	atNamesakesEnd := row{token: 5, until: nowIs}
	testRow(t, map[string]rowCase{
		"a wanted row": {wantedRow, handOver(mine), applied, reserved(150)},
		"wanted until the horizon": {
			wantedBy("w2", horizon), handOver(mine), applied, reserved(horizon),
		},
		"wanted until beyond it": {wantedBy("w2", horizon+1), handOver(mine), applied, freeRow},
		"wanted for three of a long lease": {
			long(3 * hour), handOver(mine), applied, reserved(nowIs + 3*hour),
		},
		"wanted for longer": {long(3*hour + 1), handOver(mine), applied, freeRow},
		"wanted until now": {
			wantedBy("w2", nowIs), handOver(mine), applied, reserved(nowIs),
		},
		"wanted until a moment ago": {
			wantedBy("w2", nowIs-1), handOver(mine), applied, freeRow,
		},
		"wanted for three leases of a literal's": {
			wantedBy("w2", nowIs+3*hour), handOver(literal), applied, reserved(nowIs + 3*hour),
		},
		"wanted for longer than a literal's": {
			wantedBy("w2", nowIs+3*hour+1), handOver(literal), applied, freeRow,
		},
		"by a literal, before a namesake's end": {
			withNamesake(120), handOver(literal), applied, namesakesReservation,
		},
		"wanted by an operator":   {wantedBy("", 150), handOver(mine), applied, freeRow},
		"wanted by the holder":    {wantedBy("w1", 150), handOver(mine), applied, freeRow},
		"wanted by nobody":        {heldRow(), handOver(mine), applied, freeRow},
		"before a namesake's end": {withNamesake(120), handOver(mine), applied, keptRow},
		"at a namesake's end": {
			withNamesake(nowIs), handOver(mine), applied, atNamesakesEnd,
		},
		"after a namesake's end": {
			withNamesake(nowIs - 1), handOver(mine), applied, afterNamesake,
		},
		"again": {
			reserved(150), handOver(mine), appliedBefore, reserved(150),
		},
		"again, when its wish is over": {
			pastReservation, handOver(mine), appliedBefore, pastReservation,
		},
		"again, when it is free":         {freeRow, handOver(mine), appliedBefore, freeRow},
		"of a row in a newer tenure":     {newTenure, handOver(mine), refused, newTenure},
		"of an own row in a newer one":   {heldRow(), handOver(earlier), refused, heldRow()},
		"of a reservation, by its owner": {reserved(150), handOver(others), applied, freeRow},
	})
}

func TestRowRelease(t *testing.T) {
	release := func(by tenure) func(r *row) outcome {
		return func(r *row) outcome { return r.release(by) }
	}
	reserved := row{holder: "w2", token: 5, until: nextEnd}
	testRow(t, map[string]rowCase{
		"of a held row":                {heldRow(), release(mine), applied, freeRow},
		"of an ended row":              {endedRow, release(mine), applied, freeRow},
		"of a wanted row":              {wantedRow, release(mine), applied, freeRow},
		"of a row with a namesake":     {namesakeRow, release(mine), applied, keptRow},
		"of that by a literal":         {namesakeRow, release(literal), applied, freeRow},
		"again":                        {freeRow, release(mine), appliedBefore, freeRow},
		"again, with a namesake":       {keptRow, release(mine), appliedBefore, keptRow},
		"by another lessee":            {heldRow(), release(others), refused, heldRow()},
		"by an earlier tenure":         {heldRow(), release(earlier), refused, heldRow()},
		"of a row that is handed over": {reserved, release(mine), refused, reserved},
	})
}

func TestRowSave(t *testing.T) {
	save := func(by tenure) func(r *row) outcome {
		return func(r *row) outcome {
			r.users = map[string]*dynamodb.AttributeValue{"kept": text("k"), "removed": text("r")}
			saved := map[string]*dynamodb.AttributeValue{"set": text("s"), "removed": nil}
			return r.save(by, saved, nowIs)
		}
	}
	with := func(r row, names ...string) row {
		values := map[string]string{"kept": "k", "removed": "r", "set": "s"}
		r.users = make(map[string]*dynamodb.AttributeValue)
		for _, name := range names {
			r.users[name] = text(values[name])
		}
		return r
	}
	moved := changed(func(r *row) { r.until = endIs + 1 })
	testRow(t, map[string]rowCase{
		"into a held row": {heldRow(), save(mine), applied, with(moved, "kept", "set")},
		"by a literal":    {heldRow(), save(literal), applied, with(heldRow(), "kept", "set")},
		"into an ended row": {
			endedRow, save(mine), refused, with(endedRow, "kept", "removed"),
		},
		"into an ended row, by a literal": {
			endedRow, save(literal), applied, with(endedRow, "kept", "set"),
		},
		"by another lessee": {
			heldRow(), save(others), refused, with(heldRow(), "kept", "removed"),
		},
		"by an earlier tenure": {
			heldRow(), save(earlier), refused, with(heldRow(), "kept", "removed"),
		},
	})
}

func TestRowSaveMovesTheEndBeyondAllThatWereShown(t *testing.T) {
	save := func(before row) (row, outcome) {
		outcome := before.save(mine, nil, nowIs)
		return before, outcome
	}
	ending := func(until int64) row { return changed(func(r *row) { r.until = until }) }

	row, outcome := save(knowing(ending(200), 200, 210))
	assert.Equal(t, applied, outcome)
	assert.Equal(t, knowing(ending(211), 211, 211), row)

	row, outcome = save(knowing(ending(220), 230, 210))
	assert.Equal(t, applied, outcome, "a later write of the same tenure")
	assert.Equal(t, knowing(ending(221), 230, 221), row)

	row, outcome = save(knowing(ending(220), 215, 210))
	assert.Equal(t, refused, outcome, "another has moved the end")
	assert.Equal(t, knowing(ending(220), 215, 211), row)

	row, outcome = save(knowing(ending(220), 220, nowIs-1))
	assert.Equal(t, refused, outcome, "what was shown has ended")
	assert.Equal(t, knowing(ending(220), 220, nowIs-1), row)
}

func TestRowAttributesAreThoseOfDynamoDB(t *testing.T) {
	r := wantedRow
	r.id = "a"
	assert.Equal(t, map[string]*dynamodb.AttributeValue{
		HashKey: text("a"), "ProcessID": text("w1"), "LeaseUntil": number(200),
		"FencingToken": number(5), "WantedBy": text("w2"), "WantedUntil": number(150),
	}, r.attributes())

	registered := row{id: "a"}
	assert.Equal(t, map[string]*dynamodb.AttributeValue{
		HashKey: text("a"), "LeaseUntil": number(0),
	}, registered.attributes(), "no attribute without a value")
}

func TestOutcomeIsAnErrorOnlyIfNothingIsDone(t *testing.T) {
	for _, done := range []outcome{applied, appliedBefore, overtaken} {
		assert.NoError(t, done.orElse(lease.LeaseLostError))
	}
	for _, failed := range []outcome{notAsSeen, refused} {
		assert.Equal(t, lease.LeaseLostError, failed.orElse(lease.LeaseLostError))
	}
}
