package leasetest_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

// Mailer delivers the mail of one mailbox for as long as it holds its lease.
type Mailer struct {
	ID       string
	Duration time.Duration
	Deliver  func(mailbox string) // one mail
}

func (m *Mailer) LesseeID() string             { return m.ID }
func (m *Mailer) LeaseDuration() time.Duration { return m.Duration }

// Run delivers a mail a second. It returns LeaseLostError when another mailer may have the
// mailbox.
func (m *Mailer) Run(ctx context.Context, locker *lease.Locker) error {
	return locker.Hold(ctx, m, func(ctx context.Context, l *lease.Lease) error {
		for ctx.Err() == nil {
			m.Deliver(l.LeaseID)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
		return ctx.Err()
	})
}

func TestMailerStopsWhenItsLeaseIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("alice")
		mailer := &Mailer{ID: "host-1", Duration: 30 * time.Second, Deliver: func(string) {}}
		stopped := make(chan error)
		go func() { stopped <- mailer.Run(t.Context(), lease.NewLocker(store)) }()

		time.Sleep(time.Minute + time.Second) // takes no time in here
		store.Steal("alice", "host-2", time.Hour)
		stolen := time.Now()
		if err := <-stopped; !errors.Is(err, lease.LeaseLostError) {
			t.Errorf("Run = %v; want LeaseLostError", err)
		}
		if took := time.Since(stolen); took > 10*time.Second {
			t.Errorf("the mailer stopped after %v; want no more than a heartbeat", took)
		}
	})
}

func TestMailerThatIsCutOffStopsBeforeTheNextOneStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host1 := leasetest.NewStore("alice")
		host2 := host1.NewClient()
		mails := make(chan string, 1000)
		start := func(id string, client *leasetest.Store) {
			deliver := func(string) { mails <- id }
			mailer := &Mailer{ID: id, Duration: 30 * time.Second, Deliver: deliver}
			go mailer.Run(t.Context(), lease.NewLocker(client))
			synctest.Wait()
		}
		start("host-1", host1)
		start("host-2", host2)
		time.Sleep(time.Minute + time.Second)
		host1.SetHang(true) // its packets vanish
		time.Sleep(time.Minute)
		host1.SetHang(false)
		time.Sleep(time.Minute)

		by := make(map[string]int)
		for len(mails) > 0 {
			id := <-mails
			by[id]++
			if id == "host-1" && by["host-2"] > 0 {
				t.Fatal("host-1 delivered after host-2 had begun")
			}
		}
		if by["host-1"] < 80 || by["host-2"] < 80 {
			t.Errorf("mails delivered: %v", by)
		}
	})
}

func Example() {
	store := leasetest.NewStore("alice")
	var first sync.Once
	deliver := func(mailbox string) {
		first.Do(func() {
			fmt.Println("host-1 delivers a mail to", mailbox)
			store.Steal(mailbox, "host-2", time.Minute)
		})
	}
	mailer := &Mailer{ID: "host-1", Duration: 3 * time.Second, Deliver: deliver}
	err := mailer.Run(context.Background(), lease.NewLocker(store))
	fmt.Println("lost:", errors.Is(err, lease.LeaseLostError))
	fmt.Println("now held by", store.Holder("alice"))
	// Output:
	// host-1 delivers a mail to alice
	// lost: true
	// now held by host-2
}

func ExampleStore_SetLoseReplies() {
	store := leasetest.NewStore("alice")
	locker := lease.NewLocker(store)
	mailer := &Mailer{ID: "host-1", Duration: time.Minute}
	l, err := locker.ObtainLease(mailer)
	fmt.Println(l.LeaseID, err)

	store.SetLoseReplies(true)
	fmt.Println(locker.ReleaseLease(l) == leasetest.ConnectionError)
	fmt.Printf("but held by %q\n", store.Holder("alice"))

	store.SetLoseReplies(false)
	fmt.Println(locker.ReleaseLease(l))
	// Output:
	// alice <nil>
	// true
	// but held by ""
	// <nil>
}
