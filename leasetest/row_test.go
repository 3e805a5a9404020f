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

func testRow(t *testing.T, cases map[string]rowCase) {
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := c.before
			assert.Equal(t, c.want, c.write(&got))
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
	asSeen := lease.LeaseItem{FencingToken: 5, LeaseUntil: endIs}
	leaseAs := func(
		lessee string, seen lease.LeaseItem, predecessor *lease.Lease, end int64,
	) func(r *row) outcome {
		return func(r *row) outcome { return r.leaseAsSeen(lessee, seen, predecessor, end, nowIs) }
	}
	left := func(token int64) *lease.Lease {
		attributes := map[string]*dynamodb.AttributeValue{tokenAttribute: number(token)}
		return &lease.Lease{AttributeValues: attributes}
	}
	later := lease.LeaseItem{FencingToken: 5, LeaseUntil: endIs + 1}
	newer := lease.LeaseItem{FencingToken: 6, LeaseUntil: endIs}

	remembering := func(end, namesakeUntil int64) row {
		return row{holder: "w1", token: 6, until: end, namesakeUntil: namesakeUntil}
	}
	testRow(t, map[string]rowCase{
		"a free row": {
			freeRow, leaseAs("w2", lease.LeaseItem{}, nil, nextEnd),
			applied, row{holder: "w2", token: 6, until: nextEnd},
		},
		"another's row that has ended later than it was seen to": {
			endedRow, leaseAs("w2", lease.LeaseItem{LeaseUntil: endedRow.until - 1}, nil, nextEnd),
			refused, endedRow,
		},
		"an own row that has ended later than it was seen to": {
			endedRow, leaseAs("w1", lease.LeaseItem{LeaseUntil: endedRow.until - 1}, nil, nextEnd),
			applied, row{holder: "w1", token: 6, until: nextEnd},
		},
		"a row that has ended since, whatever its token was": {
			endedRow, leaseAs("w2", newer, nil, nextEnd),
			applied, row{holder: "w2", token: 6, until: nextEnd},
		},
		"an own row that has ended: there is nothing to remember": {
			endedRow, leaseAs("w1", asSeen, nil, nextEnd),
			applied, remembering(nextEnd, 0),
		},
		"another's row": {
			heldRow(), leaseAs("w2", asSeen, nil, nextEnd),
			refused, heldRow(),
		},
		"an own row": {
			heldRow(), leaseAs("w1", asSeen, nil, nextEnd),
			applied, remembering(nextEnd, endIs),
		},
		"an own row, to an earlier end": {
			heldRow(), leaseAs("w1", asSeen, nil, endIs-1),
			applied, remembering(endIs, endIs),
		},
		"an own row with another end": {
			heldRow(), leaseAs("w1", later, nil, nextEnd),
			notAsSeen, heldRow(),
		},
		"an own row with another token": {
			heldRow(), leaseAs("w1", newer, nil, nextEnd),
			notAsSeen, heldRow(),
		},
		"an own row as the predecessor left it": {
			heldRow(), leaseAs("w1", asSeen, left(5), nextEnd),
			applied, remembering(nextEnd, 0),
		},
		"an own row as a predecessor with a namesake left it": {
			namesakeRow, leaseAs("w1", asSeen, left(5), nextEnd),
			applied, remembering(nextEnd, 120),
		},
		"an own row that a namesake has leased after the predecessor": {
			heldRow(), leaseAs("w1", asSeen, left(4), nextEnd),
			applied, remembering(nextEnd, endIs),
		},
	})
}

var (
	mine    = tenure{lessee: "w1", token: 5}
	others  = tenure{lessee: "w2", token: 5}
	earlier = tenure{lessee: "w1", token: 4}
)

func TestRowRenew(t *testing.T) {
	renew := func(by tenure, end int64) func(r *row) outcome {
		return func(r *row) outcome { return r.renew(by, end) }
	}
	moved := changed(func(r *row) { r.until = nextEnd })
	movedWithWish := changed(func(r *row) {
		r.until = nextEnd
		r.wish = wantedRow.wish
	})
	short := changed(func(r *row) {
		r.until = 110
		r.namesakeUntil = 120
	})
	lengthened := changed(func(r *row) {
		r.until = 120
		r.namesakeUntil = 120
	})
	testRow(t, map[string]rowCase{
		"to a later end":             {heldRow(), renew(mine, nextEnd), applied, moved},
		"to the same end":            {heldRow(), renew(mine, endIs), applied, heldRow()},
		"to an earlier end":          {heldRow(), renew(mine, endIs-1), overtaken, heldRow()},
		"to before a namesake's end": {short, renew(mine, 115), applied, lengthened},
		"of a wanted row": {
			wantedRow, renew(mine, nextEnd), applied, movedWithWish,
		},
		"of an ended row that nobody has": {endedRow, renew(mine, nextEnd), applied, moved},
		"by another lessee":               {heldRow(), renew(others, nextEnd), refused, heldRow()},
		"by an earlier tenure":            {heldRow(), renew(earlier, nextEnd), refused, heldRow()},
		"of a released row":               {freeRow, renew(mine, nextEnd), refused, freeRow},
	})
}

func TestRowProlongWish(t *testing.T) {
	prolong := func(by tenure) func(r *row) outcome {
		return func(r *row) outcome {
			r.prolongWish(by, 190)
			return applied
		}
	}
	wantedBy := func(by string, until int64) row {
		return changed(func(r *row) { r.wish = wish{by: by, until: until} })
	}
	testRow(t, map[string]rowCase{
		"a lessee's":           {wantedRow, prolong(mine), applied, wantedBy("w2", 190)},
		"an operator's":        {wantedBy("", 150), prolong(mine), applied, wantedBy("", 190)},
		"none":                 {heldRow(), prolong(mine), applied, heldRow()},
		"by another lessee":    {wantedRow, prolong(others), applied, wantedRow},
		"by an earlier tenure": {wantedRow, prolong(earlier), applied, wantedRow},
	})
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
	afterNamesake := reserved(150)
	afterNamesake.namesakeUntil = nowIs - 1
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
	testRow(t, map[string]rowCase{
		"into a held row":   {heldRow(), save(mine), applied, with(heldRow(), "kept", "set")},
		"into an ended row": {endedRow, save(mine), refused, with(endedRow, "kept", "removed")},
		"by another lessee": {
			heldRow(), save(others), refused, with(heldRow(), "kept", "removed"),
		},
		"by an earlier tenure": {
			heldRow(), save(earlier), refused, with(heldRow(), "kept", "removed"),
		},
	})
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
