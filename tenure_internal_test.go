package lease

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestTenuresWorkIsToldOfWhatWasBeforeIt: a lease may be lost before its work begins.
func TestTenuresWorkIsToldOfWhatWasBeforeIt(t *testing.T) {
	l := NewLocker(nil)
	until := time.Now().Add(thirty)
	is := l.beginTenure(
		&Lease{LeaseID: "a", Until: until}, requested{lessee: "w1", duration: thirty}, forWork,
		grant{asked: until})
	is.happen(fact{kind: lossSeen})
	ctx, cancel := is.beginWork(t.Context())
	defer cancel()
	assert.Equal(t, LeaseLostError, context.Cause(ctx))
}
