package lease_test

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
)

// decimal is an attribute of any number.
func decimal(n string) *dynamodb.AttributeValue { return &dynamodb.AttributeValue{N: aws.String(n)} }

// tenured returns a lease of "a", which a Locker on the store has obtained for an hour.
func tenured(t *testing.T, store *lease.LockStore) *lease.Lease {
	t.Helper()
	l, err := lease.NewLocker(store).ObtainLease(worker{"w1", time.Hour})
	require.NoError(t, err)
	return l
}

func TestLockStoreRenewalWritesAWeightWithoutARequestOfItsOwn(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l := tenured(t, f.LockStore)
	until := time.Now().Add(2 * time.Hour)
	renew := func(wanted time.Time) lease.LeaseItem {
		t.Helper()
		f.reset()
		item, err := f.RenewLeaseItem(t.Context(), l, until, wanted)
		require.NoError(t, err)
		assert.Equal(t, 1.0, f.wcu)
		assert.Equal(t, item, f.seen())
		return item
	}
	l.SetWeight(1.2)
	assert.Equal(t, 1.0, renew(time.Time{}).Weight)
	assert.NotContains(t, f.get("a"), "LeaseWeight", "what is near to the row's")

	l.SetWeight(30)
	assert.Equal(t, 6.8, renew(time.Time{}).Weight)
	before := f.get("a")
	assert.Equal(t, decimal("6.8"), before["LeaseWeight"])
	assert.Equal(t, 1, f.count("UpdateItem"))

	require.NoError(t, f.WantLease(t.Context(), f.seen(), "w2", time.Now().Add(time.Minute)))
	l.SetWeight(60)
	wanted := time.Now().Add(5 * time.Minute)
	item := renew(wanted)
	assert.Equal(t, 12.8, item.Weight, "beside a wish that is prolonged")
	assert.Equal(t, wanted.UnixNano(), item.WantedUntil)

	require.NoError(t, f.ReleaseLease(l))
	assert.Equal(t, decimal("12.8"), f.get("a")["LeaseWeight"], "it is the item's, and stays")
}

func TestLockStoreRenewalOfAWishThatIsGoneWritesItsWeightAllTheSame(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l := tenured(t, f.LockStore)
	l.SetWeight(30)
	f.reset()
	until := time.Now().Add(2 * time.Hour)
	item, err := f.RenewLeaseItem(t.Context(), l, until, until)
	require.NoError(t, err)
	assert.Equal(t, 2, f.count())
	assert.Equal(t, 6.8, item.Weight)
	assert.Equal(t, decimal("6.8"), f.get("a")["LeaseWeight"])
}

func TestLockStoreRenewalOfAWishThatIsGoneWritesItsWeightWhereTheEndIsToStay(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l := tenured(t, f.LockStore)
	l.SetWeight(30)
	item, err := f.RenewLeaseItem(t.Context(), l, l.Until, l.Until)
	require.NoError(t, err)
	assert.Equal(t, 6.8, item.Weight)
}

// TestLockStoreRenewalThatArrivesLateUndoesNoLaterWeight: though both ask for the same end, as they
// do when the duration was longer before, or a namesake's end is kept.
func TestLockStoreRenewalThatArrivesLateUndoesNoLaterWeight(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	store, late := f.taped()
	l := tenured(t, store)
	until := l.Until
	renewal := len(late.sent)
	l.SetWeight(30)
	require.NoError(t, store.RenewLease(l, until))
	late.replay(t, renewal)
	assert.Equal(t, decimal("6.8"), f.get("a")["LeaseWeight"])

	l.SetWeight(80)
	require.NoError(t, store.RenewLease(l, until))
	assert.Equal(t, decimal("16.8"), f.get("a")["LeaseWeight"])
	before := f.get("a")
	late.replay(t, renewal)
	assert.Equal(t, before, f.get("a"), "after a later one")
	assert.Equal(t, num(until.UnixNano()+2), before["LeaseUntil"])

	require.NoError(t, store.ReleaseLease(l))
	_, err := store.Lease("a", for30s("w1"), time.Now().Add(2*time.Hour))
	require.NoError(t, err)
	before = f.get("a")
	late.replay(t, renewal)
	late.replay(t, renewal+1)
	assert.Equal(t, before, f.get("a"), "in a later tenure")
}

func TestLockStoreRenewalThatWasOvertakenShowsTheRowsWeight(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	store, late := f.taped()
	l := tenured(t, store)
	renewal := len(late.sent)
	l.SetWeight(30)
	require.NoError(t, store.RenewLease(l, time.Now().Add(2*time.Hour)))

	// What has overtaken this one is a renewal of the same tenure that another process sent, say.
	r := f.get("a")
	r["LeaseUntil"] = num(time.Now().Add(5 * time.Hour).UnixNano())
	r["LeaseWeight"] = num(2)
	f.put(r)
	item, err := f.RenewLeaseItem(t.Context(), l, time.Now().Add(3*time.Hour), time.Time{})
	require.NoError(t, err)
	assert.Equal(t, 2.0, item.Weight)
	assert.Equal(t, r, f.get("a"))
	late.replay(t, renewal)
	assert.Equal(t, r, f.get("a"))

	item, err = f.RenewLeaseItem(t.Context(), l, l.Until, time.Time{})
	require.NoError(t, err)
	assert.Equal(t, 6.8, item.Weight, "the next one writes, to an end beyond what it was shown")
	assert.Equal(t, item, f.seen())
}

func TestLockStoreRenewalsWeightMovesTheEndToNoneThatAFailedRenewalAskedFor(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l := tenured(t, f.LockStore)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, f.RenewLeaseWithContext(ctx, l, time.Now().Add(10*time.Hour)), context.Canceled)
	l.SetWeight(30)
	require.NoError(t, f.RenewLease(l, l.Until))
	assert.Equal(t, num(l.Until.UnixNano()+1), f.get("a")["LeaseUntil"])
}

func TestLockStoreRenewalOfATenureThatIsOverWritesNoWeight(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l := tenured(t, f.LockStore)
	l.SetWeight(30)
	_, err := f.store().Lease("a", for30s("w1"), time.Now().Add(2*time.Hour))
	require.NoError(t, err)
	assert.True(t, f.RenewLease(l, time.Now().Add(3*time.Hour)) == lease.LeaseLostError)
	assert.NotContains(t, f.get("a"), "LeaseWeight")
}

// TestLockStoreRenewalWithoutAWeightIsWhatItWas: to the byte, for whose items have none.
func TestLockStoreRenewalWithoutAWeightIsWhatItWas(t *testing.T) {
	t.Parallel()
	w := &wire{}
	s := w.store(t)
	l, err := lease.NewLocker(s).ObtainLease(for30s("w1"))
	require.NoError(t, err)
	until := time.Now().Add(time.Minute)
	require.NoError(t, s.RenewLease(l, until))
	want := `{"ConditionExpression":"#holder = :me AND #token = :token AND #until <= :until",` +
		`"ExpressionAttributeNames":{"#holder":"ProcessID","#token":"FencingToken","#until":"LeaseUntil"},` +
		`"ExpressionAttributeValues":{":me":{"S":"w1"},":token":{"N":"1"},":until":{"N":"` + *num(until.UnixNano()).N + `"}},` +
		`"Key":{"lock.id":{"S":"alice"}},"ReturnValues":"ALL_NEW","ReturnValuesOnConditionCheckFailure":"ALL_OLD",` +
		`"TableName":"leases","UpdateExpression":"SET #until = :until"}`
	assert.JSONEq(t, want, w.last().body)
}

func TestLockStoreLeaseWritesACapacityThatIsntOne(t *testing.T) {
	t.Parallel()
	until := time.Now().Add(time.Minute)
	large := spacious{for30s("w1"), 2.5}
	one := spacious{for30s("w1"), 1}
	for name, lease := range map[string]func(f *fixture, by lease.LeaseRequest) (*lease.Lease, error){
		"Lease": func(f *fixture, by lease.LeaseRequest) (*lease.Lease, error) {
			until = until.Add(time.Second)
			return f.Lease("a", by, until)
		},
		"LeaseAsSeen": func(f *fixture, by lease.LeaseRequest) (*lease.Lease, error) {
			return f.LeaseAsSeen(t.Context(), f.seen(), nil, by, until)
		},
		"LeaseAsSeen of what is wanted": func(f *fixture, by lease.LeaseRequest) (*lease.Lease, error) {
			seen := f.seen()
			if seen.LesseeID != "" {
				require.NoError(t, f.WantLease(t.Context(), seen, "w2", until))
			}
			return f.LeaseAsSeen(t.Context(), f.seen(), nil, by, until)
		},
	} {
		f := newFixture(t, "a")
		for range 2 { // of a free row, and of the own one
			l, err := lease(f, large)
			require.NoError(t, err, name)
			assert.Equal(t, decimal("2.5"), l.AttributeValues["LeaseCapacity"], name)
			assert.Equal(t, decimal("2.5"), f.get("a")["LeaseCapacity"], name)
			assert.Equal(t, 2.5, f.seen().Capacity, name)
		}
		_, err := lease(f, one)
		require.NoError(t, err, name)
		assert.NotContains(t, f.get("a"), "LeaseCapacity", name)
		assert.Equal(t, 1.0, f.seen().Capacity, name)
	}
}

func TestLockStoreRemovesACapacityWithItsHolder(t *testing.T) {
	t.Parallel()
	until := time.Now().Add(time.Minute)
	f := newFixture(t, "a")
	obtained := func() *lease.Lease {
		t.Helper()
		l, err := f.Lease("a", spacious{for30s("w1"), 2.5}, until)
		require.NoError(t, err)
		require.NoError(t, f.RenewLease(l, until.Add(time.Second)))
		require.Contains(t, f.get("a"), "LeaseCapacity", "a renewal leaves it")
		return l
	}
	require.NoError(t, f.ReleaseLease(obtained()))
	assert.NotContains(t, f.get("a"), "LeaseCapacity", "after a release")

	l := obtained()
	require.NoError(t, f.WantLease(t.Context(), f.seen(), "w2", until))
	require.NoError(t, f.HandOverLease(t.Context(), l, until))
	assert.NotContains(t, f.get("a"), "LeaseCapacity", "after a handover")
	assert.Equal(t, str("w2"), f.get("a")["ProcessID"])
	f.pass("a")

	obtained()
	f.pass("a") // Its holder died.
	_, err := f.Lease("a", for30s("w3"), until)
	require.NoError(t, err)
	assert.NotContains(t, f.get("a"), "LeaseCapacity", "after another's lease")
}

func TestLockStoreRefusesACapacityThatIsNone(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	for _, capacity := range []float64{0, -1, math.NaN(), math.Inf(1), math.Inf(-1), 1e-10, 1e10} {
		_, err := f.Lease("a", spacious{for30s("w1"), capacity}, time.Now().Add(time.Minute))
		assert.ErrorContains(t, err, "LeaseCapacity is ", capacity)
		_, err = lease.NewLocker(f.LockStore).ObtainLease(spacious{for30s("w1"), capacity})
		assert.ErrorContains(t, err, "LeaseCapacity is ", capacity)
	}
	assert.Zero(t, f.count())
}

func TestLockStoreLoadsThatMakeNoSenseCountAsOneAndHinderNobody(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	odd := []*dynamodb.AttributeValue{
		nil, num(0), num(-3), str("heavy"), str("3"), {NULL: aws.Bool(true)}, {NS: []*string{aws.String("3")}},
		{L: []*dynamodb.AttributeValue{num(3)}}, {B: []byte("3")}, {BOOL: aws.Bool(true)}, decimal("-9.9E125"),
	}
	for _, value := range odd {
		r := row{"id": str("a"), "LeaseUntil": num(0)}
		if value != nil {
			r["LeaseWeight"] = value
			r["LeaseCapacity"] = value
		}
		f.put(r)
		assert.Equal(t, 1.0, f.seen().Weight, value)
		assert.Equal(t, 1.0, f.seen().Capacity, value)
		l := tenured(t, f.LockStore)
		l.SetWeight(30)
		item, err := f.RenewLeaseItem(t.Context(), l, l.Until, time.Time{})
		require.NoError(t, err)
		assert.Equal(t, 6.8, item.Weight, value)
		require.NoError(t, f.ReleaseLease(l))
	}
	for n, want := range map[string]float64{"2.5": 2.5, "9.9E125": 9.9e125, "1E-130": 1e-130, "0.3": 0.3} {
		f.put(row{"id": str("a"), "LeaseUntil": num(0), "LeaseWeight": decimal(n), "LeaseCapacity": decimal(n)})
		assert.Equal(t, want, f.seen().Weight)
		assert.Equal(t, want, f.seen().Capacity)
	}
}

func TestAddLeaseIDMaySetTheWeight(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.NoError(t, f.AddLeaseID("a", row{"LeaseWeight": decimal("2.5")}))
	assert.Equal(t, 2.5, f.seen().Weight)
	l, err := f.Lease("a", for30s("w1"), time.Now().Add(time.Minute))
	require.NoError(t, err)
	assert.Equal(t, decimal("2.5"), l.AttributeValues["LeaseWeight"])
	weights := []*dynamodb.AttributeValue{num(0), num(-1), str("3"), decimal("x"), decimal("Inf"), decimal("NaN"), nil}
	for _, weight := range weights {
		f.reset()
		assert.ErrorContains(t, f.AddLeaseID("b", row{"LeaseWeight": weight}), "LeaseWeight", weight)
		assert.Zero(t, f.count(), weight)
	}
	assert.ErrorContains(t, f.AddLeaseID("b", row{"LeaseCapacity": num(2)}), `"LeaseCapacity"`)
	for _, name := range []string{"LeaseWeight", "LeaseCapacity"} {
		assert.ErrorContains(t, f.SaveAttributes(t.Context(), l, row{name: num(2)}), "is the library's to write")
		assert.ErrorContains(t, lease.NewLockStore(f.ddb, f.table, name).EnsureTable(), name)
	}
}
