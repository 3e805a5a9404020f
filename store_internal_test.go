package lease

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/stretchr/testify/assert"
)

// Stores that embed one, of which each type has other methods of its own.
type (
	wrapsNone  struct{ *LockStore }
	wrapsSome  struct{ *LockStore }
	wrapsTwo   struct{ *LockStore }
	wrapsAll   struct{ *LockStore }
	wrapsValue struct{ LockStoreMethods }
	wrapsWhole struct{ *wrapsAll }
	wrapsGet   struct{ wrapsAll }
	wrapsMixed struct{ wrapsSome }

	LockStoreMethods interface {
		lockerStore
		fullStore
	}
)

func (*wrapsTwo) Lease(string, LeaseRequest, time.Time) (*Lease, error) { return nil, nil }
func (*wrapsTwo) ListLeaseIDs() ([]string, error)                       { return nil, nil }

func (*wrapsSome) LeaseAsSeen(
	context.Context, LeaseItem, *Lease, LeaseRequest, time.Time,
) (*Lease, error) {
	return nil, nil
}
func (*wrapsSome) RenewLeaseItem(
	context.Context, *Lease, time.Time, time.Time,
) (LeaseItem, error) {
	return LeaseItem{}, nil
}

func (*wrapsAll) ScanLeaseItemsWithContext(
	context.Context, string, int,
) ([]LeaseItem, string, error) {
	return nil, "", nil
}
func (*wrapsAll) LeaseWithContext(
	context.Context, string, LeaseRequest, time.Time,
) (*Lease, error) {
	return nil, nil
}
func (*wrapsAll) LeaseAsSeen(
	context.Context, LeaseItem, *Lease, LeaseRequest, time.Time,
) (*Lease, error) {
	return nil, nil
}
func (*wrapsAll) RenewLeaseItem(
	context.Context, *Lease, time.Time, time.Time,
) (LeaseItem, error) {
	return LeaseItem{}, nil
}
func (*wrapsAll) ReleaseLeaseWithContext(context.Context, *Lease) error         { return nil }
func (*wrapsAll) WantLease(context.Context, LeaseItem, string, time.Time) error { return nil }
func (*wrapsAll) HandOverLease(context.Context, *Lease, time.Time) error        { return nil }
func (*wrapsAll) WithdrawWish(
	context.Context, LeaseItem, string, time.Time,
) (LeaseItem, error) {
	return LeaseItem{}, nil
}
func (w *wrapsAll) SaveAttributes(c context.Context, l *Lease, a attributes) error {
	return w.LockStore.SaveAttributes(c, l, a)
}

func (wrapsValue) ScanLeaseItemsWithContext(
	context.Context, string, int,
) ([]LeaseItem, string, error) {
	return nil, "", nil
}
func (wrapsValue) LeaseWithContext(
	context.Context, string, LeaseRequest, time.Time,
) (*Lease, error) {
	return nil, nil
}
func (wrapsValue) LeaseAsSeen(
	context.Context, LeaseItem, *Lease, LeaseRequest, time.Time,
) (*Lease, error) {
	return nil, nil
}
func (wrapsValue) RenewLeaseItem(
	context.Context, *Lease, time.Time, time.Time,
) (LeaseItem, error) {
	return LeaseItem{}, nil
}
func (wrapsValue) ReleaseLeaseWithContext(context.Context, *Lease) error         { return nil }
func (wrapsValue) WantLease(context.Context, LeaseItem, string, time.Time) error { return nil }
func (wrapsValue) HandOverLease(context.Context, *Lease, time.Time) error        { return nil }
func (wrapsValue) WithdrawWish(
	context.Context, LeaseItem, string, time.Time,
) (LeaseItem, error) {
	return LeaseItem{}, nil
}
func (w wrapsValue) SaveAttributes(c context.Context, l *Lease, a attributes) error {
	return w.LockStoreMethods.SaveAttributes(c, l, a)
}

func (wrapsGet) GetLeaseItem(context.Context, string) (LeaseItem, error) {
	return LeaseItem{}, nil
}

// TestStoreThatEmbedsOneReadsOneItemByItsOwnMethodOnly: the one that it embeds may know its
// items under other names.
func TestStoreThatEmbedsOneReadsOneItemByItsOwnMethodOnly(t *testing.T) {
	inner := &LockStore{}
	for name, c := range map[string]struct {
		store lockerStore
		reads bool
	}{
		"a LockStore":          {inner, true},
		"that of what it has":  {&wrapsAll{inner}, false},
		"its own":              {wrapsGet{wrapsAll{inner}}, true},
		"its own, by pointers": {&wrapsGet{wrapsAll{inner}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.reads, itemStoreOf(c.store) != nil)
		})
	}
}

func TestStoreThatEmbedsOneIsUsedInFullIfAllMethodsAreItsOwn(t *testing.T) {
	inner := &LockStore{}
	all := &wrapsAll{inner}
	for name, c := range map[string]struct {
		store  lockerStore
		inFull bool
	}{
		"no method of its own":                  {&wrapsNone{inner}, false},
		"the two methods of its own":            {&wrapsTwo{inner}, false},
		"some methods of its own":               {&wrapsSome{inner}, false},
		"some, of one that it embeds":           {&wrapsMixed{wrapsSome{inner}}, false},
		"all of its own":                        {all, true},
		"all of its own, by value":              {wrapsValue{inner}, true},
		"all of its own, by a pointer to those": {&wrapsValue{inner}, true},
		"none, of one that has all of its own":  {wrapsWhole{all}, false},
		"a type without a name":                 {struct{ *wrapsAll }{all}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := storeOf(c.store)
			assert.NoError(t, err)
			_, inFull := got.(wholeStore)
			assert.Equal(t, c.inFull, inFull)
		})
	}
}

func TestStoreThatEmbedsOneIsAskedForEachMethodOfAFullStore(t *testing.T) {
	var found []string
	for _, find := range fullStoreMethods {
		method, isThere := find(fullStoreType)
		assert.True(t, isThere)
		found = append(found, method.Name)
	}
	for i := range fullStoreType.NumMethod() {
		assert.Contains(t, found, fullStoreType.Method(i).Name)
	}
}

func TestStoreInAFieldOfANameIsNotEmbedded(t *testing.T) {
	assert.False(t, embedsStore(reflect.TypeFor[struct{ store *LockStore }]()))
	assert.True(t, embedsStore(reflect.TypeFor[wrapsNone]()))
}

func TestClockLearnsNothingOfWhatIsNotDynamoDBs(t *testing.T) {
	reply := &http.Response{StatusCode: 503, Header: make(http.Header)}
	for err, want := range map[error]bool{errors.New("no"): false, nil: true} {
		store := NewLockStore(nil, "boxes", "id")
		store.hear(&request.Request{HTTPResponse: reply, AttemptTime: time.Now()}, time.Now(), err)
		assert.Equal(t, want, !store.clock.heard.IsZero(), err)
	}
}
