package lease_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
)

// FuzzNames: any lease ID, LesseeID and duration is refused with nothing written, or works.
func FuzzNames(f *testing.F) {
	x := newFixture(f)
	f.Add("a", "w1", int64(time.Minute), "colour", "blue")
	f.Fuzz(func(t *testing.T, id, lessee string, duration int64, name, value string) {
		x.tb = t
		good := func(s string) bool { return s != "" && utf8.ValidString(s) && len(s) <= 2048 }
		if !utf8.ValidString(name) || !utf8.ValidString(value) || name == "" || len(name) > 255 {
			return // DynamoDB's own business
		}
		err := x.AddLeaseID(id, row{name: str(value)})
		if !good(id) || name == "id" || name == "ProcessID" || name == "LeaseUntil" || name == "FencingToken" {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		defer x.ddb.DeleteItem(&dynamodb.DeleteItemInput{TableName: &x.table, Key: row{"id": str(id)}})
		before := x.get(id)

		request := worker{lessee, time.Duration(duration)}
		l, err := lease.NewLocker(x.LockStore).ObtainLease(request)
		if !good(lessee) || time.Duration(duration) < time.Millisecond || time.Duration(duration) > 100*365*24*time.Hour {
			require.Error(t, err)
			require.Nil(t, l)
			require.Equal(t, before, x.get(id))
			return
		}
		if err != nil && time.Duration(duration) < time.Second {
			return // It was over before it was obtained.
		}
		require.NoError(t, err)
		require.Equal(t, id, l.LeaseID)
		require.Equal(t, lessee, *x.get(id)["ProcessID"].S)
		require.Equal(t, value, *x.get(id)[name].S)
		if time.Duration(duration) < time.Minute {
			return // It may be over at any time.
		}
		_, err = x.Lease(id, for30s(lessee+"'"), time.Now().Add(time.Second))
		require.Error(t, err)
		require.NoError(t, x.RenewLease(l, time.Now().Add(time.Duration(duration))))
		require.NoError(t, x.ReleaseLease(l))
		delete(before, "FencingToken")
		after := x.get(id)
		delete(after, "FencingToken")
		require.Equal(t, before, after)
	})
}

// FuzzForeignRow: whatever others wrote into a row, nobody panics, its attributes stay, and no two
// lessees hold it.
func FuzzForeignRow(f *testing.F) {
	x := newFixture(f)
	f.Add(uint8(1), "w0", uint8(2), int64(0), int8(0), uint8(2), int64(3))
	f.Fuzz(func(t *testing.T, holderKind uint8, holder string, untilKind uint8, until int64, exponent int8, tokenKind uint8, token int64) {
		x.tb = t
		value := func(kind uint8, n int64, s string) *dynamodb.AttributeValue {
			switch kind % 6 {
			case 0:
				return nil
			case 1:
				return str(s)
			case 2:
				return num(n)
			case 3:
				return &dynamodb.AttributeValue{N: aws.String(*num(n).N + "E" + *num(int64(exponent)).N)}
			case 4:
				return &dynamodb.AttributeValue{NULL: aws.Bool(true)}
			}
			return &dynamodb.AttributeValue{L: []*dynamodb.AttributeValue{num(n)}}
		}
		r := row{"id": str("a"), "mine": str("kept")}
		for name, v := range map[string]*dynamodb.AttributeValue{
			"ProcessID":    value(holderKind, token, holder),
			"LeaseUntil":   value(untilKind, until, holder),
			"FencingToken": value(tokenKind, token, holder),
		} {
			if v != nil {
				r[name] = v
			}
		}
		if _, err := x.ddb.PutItem(&dynamodb.PutItemInput{TableName: &x.table, Item: r}); err != nil {
			return // DynamoDB takes no such row.
		}
		before := x.get("a")
		locker := lease.NewLocker(x.LockStore)
		first, err1 := locker.ObtainLease(for30s("w1"))
		if err1 != nil {
			require.Equal(t, before, x.get("a"), "%v", err1)
		}
		second, err2 := x.Lease("a", for30s("w2"), time.Now().Add(30*time.Second))
		if first != nil && second != nil {
			t.Fatalf("two holders of %v", before)
		}
		if r := before["LeaseUntil"]; r != nil && r.N == nil && (first != nil || second != nil) {
			t.Fatalf("%v was leased", before)
		}
		end, known := plain(untilKind, until)
		live := known && end > time.Now().Add(time.Minute).UnixNano()
		foreign := holder != "w1" && holder != "w2"
		leased := first != nil || second != nil
		if live && foreign && leased {
			t.Fatalf("%v was taken from its holder: %v %v", before, err1, err2)
		}
		require.Equal(t, "kept", *x.get("a")["mine"].S)
		if second != nil {
			require.NoError(t, x.ReleaseLease(second))
		}
		if first != nil {
			require.Greater(t, first.FencingToken(), int64(math.MinInt64))
			require.NoError(t, locker.ReleaseLease(first))
		}
	})
}

// plain returns the number that an attribute of that kind is, if it is one.
func plain(kind uint8, n int64) (int64, bool) { return n, kind%6 == 2 }

// foreignWishes are what others may write into WantedBy and WantedUntil; nil leaves the attribute
// out.
func foreignWishes(holder string) (bys, untils []*dynamodb.AttributeValue) {
	now := time.Now().UnixNano()
	number := func(s string) *dynamodb.AttributeValue { return &dynamodb.AttributeValue{N: &s} }
	odd := []*dynamodb.AttributeValue{
		nil,
		{B: []byte("w2")},
		{NULL: aws.Bool(true)},
		{BOOL: aws.Bool(true)},
		{SS: []*string{aws.String("w2")}},
		{L: []*dynamodb.AttributeValue{str("w2")}},
		{M: row{"S": str("w2")}},
		num(7),
	}
	bys = append(slices.Clone(odd),
		str("w2"),
		str(""),
		str(holder),
		str("nobody knows"),
		str(strings.Repeat("x", 2048)))
	untils = append(slices.Clone(odd),
		str("soon"),
		str(fmt.Sprint(now+int64(time.Minute))),
		num(0),
		num(-1),
		num(now-1),
		num(now+int64(time.Minute)),
		num(now+int64(10*365*24*time.Hour)),
		num(math.MaxInt64),
		num(math.MinInt64),
		number("9.9E125"),
		number("-9.9E125"),
		number(fmt.Sprint(now/1e9+60)+"000000000.5"))
	return bys, untils
}

// foreignWish writes a wish into a row as somebody else might, and reports false if DynamoDB takes
// no such value.
func (f *fixture) foreignWish(id string, by, until *dynamodb.AttributeValue) bool {
	r := f.get(id)
	delete(r, "WantedBy")
	delete(r, "WantedUntil")
	if by != nil {
		r["WantedBy"] = by
	}
	if until != nil {
		r["WantedUntil"] = until
	}
	_, err := f.ddb.PutItem(&dynamodb.PutItemInput{TableName: &f.table, Item: r})
	return err == nil
}

// setWish is foreignWish beside others' writes: it changes no other attribute.
func (f *fixture) setWish(id string, by, until *dynamodb.AttributeValue) {
	f.tb.Helper()
	put := func(v *dynamodb.AttributeValue) *dynamodb.AttributeValueUpdate {
		if v == nil {
			return &dynamodb.AttributeValueUpdate{Action: aws.String("DELETE")}
		}
		return &dynamodb.AttributeValueUpdate{Action: aws.String("PUT"), Value: v}
	}
	_, err := f.ddb.UpdateItem(&dynamodb.UpdateItemInput{
		TableName: &f.table,
		Key:       row{"id": str(id)},
		AttributeUpdates: map[string]*dynamodb.AttributeValueUpdate{
			"WantedBy":    put(by),
			"WantedUntil": put(until),
		},
	})
	require.NoError(f.tb, err)
}

// anyWish leases, renews, and hands over or releases an item whose row has that wish. It must not
// be lost.
func (f *fixture) anyWish(t *testing.T, id string, by, until *dynamodb.AttributeValue, handOver bool) {
	if !f.foreignWish(id, by, until) {
		return
	}
	lessee := func(name string) worker { return worker{name, 2 * time.Minute} }
	wished := lease.LeaseItem{}
	l, err := f.Lease(id, lessee("w1"), time.Now().Add(2*time.Minute))
	require.NoError(t, err, "a free item with a wish")
	require.NotContains(t, f.get(id), "WantedBy")
	require.NotContains(t, f.get(id), "WantedUntil")

	require.True(t, f.foreignWish(id, by, until))
	_, err = f.Lease(id, lessee("w2"), time.Now().Add(2*time.Minute))
	require.True(t, err == lease.LeaseNotObtainedError, "a wish is no lease: %v", err)
	for _, wanted := range []time.Time{{}, time.Now().Add(100 * time.Second)} {
		wished, err = f.RenewLeaseItem(t.Context(), l, time.Now().Add(2*time.Minute), wanted)
		require.NoError(t, err)
		require.Equal(t, "w1", wished.LesseeID)
		require.True(t, f.foreignWish(id, by, until))
	}
	items, _, err := f.ScanLeaseItems("", 0)
	require.NoError(t, err)
	at := slices.IndexFunc(items, func(i lease.LeaseItem) bool { return i.LeaseID == id })
	require.GreaterOrEqual(t, at, 0, "a wish hides the item")
	f.WantLease(t.Context(), items[at], "w3", time.Now().Add(time.Minute)) // It may be refused.
	require.True(t, f.foreignWish(id, by, until))

	if !handOver {
		require.NoError(t, f.ReleaseLease(l))
	} else {
		require.NoError(t, f.HandOverLease(t.Context(), l, time.Now().Add(time.Minute)))
	}
	after, next := f.get(id), "w4"
	if holder := after["ProcessID"]; holder != nil {
		require.True(t, handOver)
		require.NotNil(t, holder.S, "the item is lost: nobody can lease %v", after)
		require.Equal(t, by, holder)
		next = *holder.S
	}
	last, err := f.Lease(id, lessee(next), time.Now().Add(2*time.Minute))
	require.NoError(t, err, "the item is lost: %v", after)
	require.NoError(t, f.ReleaseLease(last))
	final := f.get(id)
	require.NotContains(t, final, "WantedBy")
	require.Equal(t, str("kept"), final["mine"])
}

// FuzzForeignWish: whatever others wish for, nobody panics, and no item is lost.
func FuzzForeignWish(f *testing.F) {
	x := newFixture(f)
	bys, untils := foreignWishes("w1")
	const aName, aMinute = 8, 13
	for by := range bys {
		f.Add(uint8(by), "", uint8(aMinute), int64(0), true)
		f.Add(uint8(by), "", uint8(aMinute), int64(0), false)
		f.Add(uint8(by), "", uint8(0), int64(0), true)
	}
	for until := range untils {
		f.Add(uint8(aName), "", uint8(until), int64(0), true)
	}
	f.Add(uint8(255), "any name", uint8(255), time.Now().UnixNano(), true)
	f.Fuzz(func(t *testing.T, by uint8, name string, until uint8, at int64, handOver bool) {
		if !utf8.ValidString(name) {
			return
		}
		x.tb = t
		bys, untils := foreignWishes("w1")
		bys = append(bys, str(name))
		untils = append(untils, num(at))
		x.put(row{"id": str("a"), "LeaseUntil": num(0), "mine": str("kept")})
		wantedBy := bys[min(int(by), len(bys)-1)]
		wantedUntil := untils[min(int(until), len(untils)-1)]
		x.anyWish(t, "a", wantedBy, wantedUntil, handOver)
	})
}
