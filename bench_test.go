package lease_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
)

// bare is the least that leasing takes of the SDK: the same UpdateItem, written by hand.
func (f *fixture) bare(id string, until time.Time) error {
	_, err := f.ddb.UpdateItemWithContext(context.Background(), &dynamodb.UpdateItemInput{
		TableName: &f.table,
		Key:       row{f.key: str(id)},
		UpdateExpression: aws.String("SET #holder = :me, #until = :until, " +
			"#token = if_not_exists(#token, :zero) + :one"),
		ConditionExpression: aws.String("attribute_exists(#key) AND (attribute_not_exists(#until) OR #until < :now OR " +
			"(#holder = :me AND #until < :until))"),
		ExpressionAttributeNames: map[string]*string{"#key": &f.key, "#holder": aws.String("ProcessID"),
			"#until": aws.String("LeaseUntil"), "#token": aws.String("FencingToken")},
		ExpressionAttributeValues: row{":me": str("w1"), ":until": num(until.UnixNano()), ":now": num(time.Now().UnixNano()),
			":zero": num(0), ":one": num(1)},
		ReturnValues:                        aws.String(dynamodb.ReturnValueAllNew),
		ReturnValuesOnConditionCheckFailure: aws.String(dynamodb.ReturnValuesOnConditionCheckFailureAllOld),
	})
	return err
}

// BenchmarkLease sets LockStore.Lease beside the bare UpdateItem of the same shape.
func BenchmarkLease(b *testing.B) {
	f := newFixture(b, "a", "b")
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			require.NoError(b, f.bare("a", time.Now().Add(30*time.Second)))
		}
	})
	b.Run("Lease", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := f.Lease("b", for30s("w1"), time.Now().Add(30*time.Second))
			require.NoError(b, err)
		}
	})
	b.Run("in turns", func(b *testing.B) { // so that whatever else the machine does slows down both alike
		var bare, ours []time.Duration
		for b.Loop() {
			start := time.Now()
			err := f.bare("a", start.Add(30*time.Second))
			between := time.Now()
			_, err2 := f.Lease("b", for30s("w1"), between.Add(30*time.Second))
			bare, ours = append(bare, between.Sub(start)), append(ours, time.Since(between))
			require.NoError(b, errors.Join(err, err2))
		}
		b.ReportMetric(float64(median(ours))/float64(median(bare)), "Lease/bare")
	})
}

// literal obtains a lease as the documentation of the original says: it lists all IDs and tries
// each.
type literal struct{ *lease.LockStore }

func (s literal) Lease(id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	return s.LockStore.Lease(id, r, until)
}

// rows fills the table with n rows of that size. Where fewer percent of them were held before, it
// makes only those rows that are held now; where none was, and none is, all of them, free.
func (f *fixture) rows(n, size, before, percent int) {
	const batch = 16 << 20 / (128 << 10) // so that no request is over 16 MB
	rows := make([]row, 0, batch)
	until := time.Now().Add(24 * time.Hour)
	for i := range n {
		id := fmt.Sprintf("item-%06d", i)
		r := padded(id, size)
		held := i%100 < percent
		if held {
			r["ProcessID"], r["LeaseUntil"] = str("other"), num(until.UnixNano())
		}
		if percent == 0 || held && i%100 >= before {
			rows = append(rows, r)
		}
		if len(rows) == batch || i == n-1 {
			f.fill(rows)
			rows = rows[:0]
		}
	}
}

// report reports what was counted since the last reset as metrics for each of n operations.
func (f *fixture) report(b *testing.B, n float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	requests := 0
	for _, c := range f.requests {
		requests += c
	}
	b.ReportMetric(float64(requests)/n, "requests/op")
	b.ReportMetric(float64(f.refused)/n, "refused/op")
	b.ReportMetric(f.rcu/n, "RCU/op")
	b.ReportMetric(f.wcu/n, "WCU/op")
}

// freed undoes an obtain without counting it.
func (f *fixture) freed(b *testing.B, l *lease.Lease) {
	b.Helper()
	f.mu.Lock()
	requests, refused, rcu, wcu := f.requests, f.refused, f.rcu, f.wcu
	f.requests = make(map[string]int)
	f.mu.Unlock()
	require.NoError(b, f.LockStore.ReleaseLease(l))
	f.mu.Lock()
	f.requests, f.refused, f.rcu, f.wcu = requests, refused, rcu, wcu
	f.mu.Unlock()
}

// BenchmarkObtain obtains one lease, as a process that has just started, from tables of several
// sizes and occupations; "literal" is the baseline, left out where it would take minutes.
func BenchmarkObtain(b *testing.B) {
	for _, rows := range []struct{ n, size int }{{1, 100}, {1000, 100}, {100_000, 100}, {1, 100 << 10}, {1000, 100 << 10}} {
		f := newFixture(b)
		held := 0
		for _, percent := range []int{0, 50, 99} {
			if rows.n == 1 && percent > 0 {
				continue
			}
			f.rows(rows.n, rows.size, held, percent)
			held = percent
			name := fmt.Sprintf("rows=%d/size=%dB/held=%d%%", rows.n, rows.size, percent)
			b.Run(name+"/ours", func(b *testing.B) {
				f.obtain(b, func(s *lease.LockStore) *lease.Locker { return lease.NewLocker(s) })
			})
			if rows.n <= 1000 {
				b.Run(name+"/literal", func(b *testing.B) {
					f.obtain(b, func(s *lease.LockStore) *lease.Locker { return lease.NewLocker(literal{s}) })
				})
			}
		}
		_, err := f.ddb.DeleteTable(&dynamodb.DeleteTableInput{TableName: &f.table})
		require.NoError(b, err)
	}
}

func (f *fixture) obtain(b *testing.B, locker func(*lease.LockStore) *lease.Locker) {
	f.reset()
	n := 0.0
	for b.Loop() {
		l, err := locker(f.store()).ObtainLease(for30s("w1"))
		require.NoError(b, err)
		f.freed(b, l)
		n++
	}
	f.report(b, n)
}

func BenchmarkRenew(b *testing.B) {
	f := newFixture(b, "a")
	l, err := f.Lease("a", for30s("w1"), time.Now().Add(30*time.Second))
	require.NoError(b, err)
	f.reset()
	n := 0.0
	for b.Loop() {
		require.NoError(b, f.RenewLease(l, time.Now().Add(30*time.Second)))
		n++
	}
	f.report(b, n)
}

func BenchmarkRelease(b *testing.B) {
	f := newFixture(b, "a")
	f.reset()
	n := 0.0
	for b.Loop() {
		l, err := f.Lease("a", for30s("w1"), time.Now().Add(30*time.Second))
		require.NoError(b, err)
		require.NoError(b, f.ReleaseLease(l))
		n++
	}
	f.report(b, n)
	b.ReportMetric(float64(f.count())/n-1, "requests/op") // without the lease
	b.ReportMetric(f.wcu/n-1, "WCU/op")
}

// BenchmarkStandby waits for a while on held items and reports what that costs a minute.
func BenchmarkStandby(b *testing.B) {
	for _, items := range []int{10, 200, 1000} {
		for _, kind := range []string{"ours", "literal"} {
			b.Run(fmt.Sprintf("items=%d/every=1s/%s", items, kind), func(b *testing.B) {
				f := newFixture(b)
				f.rows(items, 100, 0, 100)
				locker := lease.NewLocker(f.store())
				if kind == "literal" {
					locker = lease.NewLocker(literal{f.store()})
				}
				f.reset()
				const stay = 3500 * time.Millisecond // 4 looks
				n := 0.0
				for b.Loop() {
					ctx, cancel := context.WithTimeout(context.Background(), stay)
					_, err := locker.WaitUntilLeaseObtainedWithContext(ctx, for30s("w1"), time.Second)
					cancel()
					require.Error(b, err)
					n++
				}
				f.report(b, n*4/60)
			})
		}
	}
}

// BenchmarkColdStart starts that many lessees at once on as many free items. It reports for each
// lessee.
func BenchmarkColdStart(b *testing.B) {
	for _, lessees := range []int{10, 100, 1000} {
		for _, kind := range []string{"ours", "literal"} {
			if kind == "literal" && lessees > 100 {
				continue // half a million writes
			}
			b.Run(fmt.Sprintf("lessees=%d/%s", lessees, kind), func(b *testing.B) {
				f := newFixture(b)
				n := 0.0
				requests, refused, rcu, wcu := 0.0, 0.0, 0.0, 0.0
				for b.Loop() {
					f.rows(lessees, 100, 0, 0)
					var wg sync.WaitGroup
					for i := range lessees {
						wg.Go(func() {
							locker := lease.NewLocker(f.store())
							if kind == "literal" {
								locker = lease.NewLocker(literal{f.store()})
							}
							locker.WaitUntilLeaseObtained(worker{fmt.Sprint("w", i), time.Hour}, time.Second)
						})
					}
					wg.Wait()
					n += float64(lessees)
					requests, refused = requests+float64(f.count()), refused+float64(f.refusals())
					rcu, wcu = rcu+f.rcu, wcu+f.wcu
				}
				b.ReportMetric(requests/n, "requests/op")
				b.ReportMetric(refused/n, "refused/op")
				b.ReportMetric(rcu/n, "RCU/op")
				b.ReportMetric(wcu/n, "WCU/op")
			})
		}
	}
}

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}
