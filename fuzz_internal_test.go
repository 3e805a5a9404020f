package lease

import (
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// attribute makes an attribute of the kind that the number picks.
func attribute(kind uint8, s string) *dynamodb.AttributeValue {
	switch kind % 8 {
	case 0:
		return nil
	case 1:
		return &dynamodb.AttributeValue{S: &s}
	case 2:
		return &dynamodb.AttributeValue{N: &s}
	case 3:
		return &dynamodb.AttributeValue{B: []byte(s)}
	case 4:
		return &dynamodb.AttributeValue{NULL: aws.Bool(true)}
	case 5:
		return &dynamodb.AttributeValue{M: map[string]*dynamodb.AttributeValue{"S": {S: &s}}}
	case 6:
		return &dynamodb.AttributeValue{NS: []*string{&s}}
	}
	return &dynamodb.AttributeValue{}
}

// FuzzParse: whatever lies in a row, it is read as DynamoDB would compare it, or refused.
func FuzzParse(f *testing.F) {
	f.Add(uint8(1), "w1", uint8(2), "1700000000000000000", uint8(2), "7", int64(1))
	f.Fuzz(func(t *testing.T, holderKind uint8, holder string, untilKind uint8, until string, tokenKind uint8, token string, now int64) {
		item := make(map[string]*dynamodb.AttributeValue)
		for name, value := range map[string]*dynamodb.AttributeValue{holderAttribute: attribute(holderKind, holder),
			untilAttribute: attribute(untilKind, until), tokenAttribute: attribute(tokenKind, token)} {
			if value != nil {
				item[name] = value
			}
		}
		if value := attribute(tokenKind, token); value != nil {
			item[weightAttribute] = value
			item[capacityAttribute] = value
		}
		r, err := new(LockStore).parse("a", item)
		for _, load := range []float64{r.Weight, r.Capacity} {
			if !(load > 0) || math.IsInf(load, 1) {
				t.Errorf("a load of %v of %v", load, item)
			}
		}
		if err != nil {
			return
		}
		if r.LesseeID != "" && (item[holderAttribute].S == nil || r.LesseeID != *item[holderAttribute].S) {
			t.Errorf("holder %q of %v", r.LesseeID, item)
		}
		if item[untilAttribute] == nil {
			if r.LeaseUntil != 0 {
				t.Errorf("until %d of a row without", r.LeaseUntil)
			}
			return
		}
		exact, _, err := big.ParseFloat(until, 10, 512, big.ToNearestEven)
		if err != nil || now == math.MaxInt64 || now == math.MinInt64 {
			return
		}
		// Whether the lease has ended, as DynamoDB sees it, whose numbers are exact.
		free := exact.Cmp(new(big.Float).SetPrec(512).SetInt64(now)) < 0
		if small := exact.IsInt() || exact.Cmp(big.NewFloat(1<<52)) < 0; small && free != (r.LeaseUntil < now) {
			t.Errorf("LeaseUntil %s at %d: free is %t, parsed as %d", until, now, free, r.LeaseUntil)
		}
	})
}

// FuzzEstimate: whatever replies come, as long as their headers are true, the estimate contains the
// truth, and a clock that is less than a second off isn't corrected.
func FuzzEstimate(f *testing.F) {
	f.Add(int64(0), []byte{0, 10, 20, 30})
	f.Fuzz(func(t *testing.T, offset int64, steps []byte) {
		truth := time.Duration(offset % int64(absurd-time.Hour)) // the server's clock is ahead by this
		var e estimate
		at := base
		for i := 0; i+1 < len(steps); i += 2 {
			at = at.Add(time.Duration(steps[i]) * 37 * time.Millisecond)
			received := at.Add(time.Duration(steps[i+1]) * 13 * time.Millisecond)
			seen := at.Add(received.Sub(at) * time.Duration(i%3) / 2) // when the server looked at its clock
			e, _ = e.observe(at, received, seen.Add(truth).Truncate(time.Second))
			if e.lo > truth || e.hi < truth {
				t.Fatalf("the truth %v is not in [%v, %v]", truth, e.lo, e.hi)
			}
			least, most := e.correction()
			if corrected := least != 0 || most != 0; corrected && (truth.Abs() <= time.Second || truth < least || truth > most) {
				t.Fatalf("a clock that is %v off was corrected by %v to %v", truth, least, most)
			}
			at = received
		}
	})
}

// FuzzAnyDate: headers that are no clock do no harm either.
func FuzzAnyDate(f *testing.F) {
	f.Add("Mon, 23 Nov 2026 07:37:55 GMT", int64(0))
	f.Fuzz(func(t *testing.T, header string, at int64) {
		var c clock
		now := time.Unix(at%(1<<33), 0)
		c.observe(now, now, header)
		if least, most := c.sure.correction(); least.Abs() > absurd+resolution || most.Abs() > absurd+resolution {
			t.Errorf("%q corrects by %v to %v", header, least, most)
		}
	})
}

// FuzzParseWish: whatever lies in WantedBy and WantedUntil, the row stays leasable, and counts for one worker at the most. A
// wish counts if DynamoDB would find its end to lie ahead, and not too far.
func FuzzParseWish(f *testing.F) {
	second := int64(time.Second)
	for kind := range uint8(8) {
		f.Add(kind, "w2", uint8(2), "60000000000", true, 30*second)
		f.Add(uint8(1), "w2", kind, "60000000000", true, 30*second)
	}
	for _, by := range []string{"", "w1", "w2", "nobody knows", "\xff"} {
		for _, until := range []string{"", "soon", "0", "-1", "1", "1.5E10", "1E15", "9.9E125", "-9.9E125", "9223372036854775807", "-9223372036854775808", "Inf", "NaN", "0x10"} {
			f.Add(uint8(1), by, uint8(2), until, false, 30*second)
			f.Add(uint8(1), by, uint8(2), until, true, -30*second)
		}
	}
	f.Fuzz(func(t *testing.T, byKind uint8, by string, untilKind uint8, until string, ahead bool, end int64) {
		now := time.Now()
		if n, err := strconv.ParseInt(until, 10, 64); err == nil && ahead { // so many nanoseconds from now
			until = strconv.FormatInt(now.UnixNano()+n, 10)
		}
		leased := max(0, now.UnixNano()+end%int64(1000*time.Hour))
		item := map[string]*dynamodb.AttributeValue{holderAttribute: text("w1"), untilAttribute: number(leased), tokenAttribute: number(7)}
		for name, value := range map[string]*dynamodb.AttributeValue{wantedByAttribute: attribute(byKind, by), wantedUntilAttribute: attribute(untilKind, until)} {
			if value != nil {
				item[name] = value
			}
		}
		r, err := new(LockStore).parse("a", item)
		if err != nil || r.LesseeID != "w1" || r.LeaseUntil != leased || r.FencingToken != 7 {
			t.Fatalf("%v is read as %+v, %v", item, r, err)
		}
		const d = 30 * time.Second
		live := r.wantedUntil(time.Now())
		horizon := max(10*time.Minute, 3*time.Until(r.Until)) + time.Minute
		wanter := item[wantedByAttribute]
		isNamed := wanter != nil && wanter.S != nil
		exact, _, err := big.ParseFloat(until, 10, 512, big.ToNearestEven)
		switch number := item[wantedUntilAttribute] != nil && item[wantedUntilAttribute].N != nil && err == nil; {
		case live.IsZero():
			if n, accuracy := exactly(exact); number && accuracy && n > now.Add(time.Minute).UnixNano() && n < now.Add(5*time.Minute).UnixNano() &&
				r.WantedBy != "w1" && leased > 0 && isNamed {
				t.Errorf("the wish of %v doesn't count", item)
			}
		case !number || !isNamed || r.WantedBy == "w1" || live.Before(now) || live.After(now.Add(horizon)):
			t.Errorf("the wish of %v counts until %v", item, live)
		}
		p := newPlanner(requested{lessee: "w3", duration: d}, 0, rand.New(rand.NewPCG(1, 2)))
		counts := p.count(now, []LeaseItem{r.LeaseItem})
		sum := 0
		for _, n := range counts {
			sum += n
		}
		if _, me := counts["w3"]; !me || sum > 1 || len(counts) > 2 {
			t.Errorf("%v counts as %v", item, counts)
		}
		p.looked(now, page{items: []LeaseItem{r.LeaseItem}}, func(string) bool { return false })
	})
}

// exactly returns a number that fits.
func exactly(f *big.Float) (int64, bool) {
	if f == nil || !f.IsInt() {
		return 0, false
	}
	n, accuracy := f.Int64()
	return n, accuracy == big.Exact
}
