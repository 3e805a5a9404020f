package lease

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestHoldsResultIsOfTheWorkTheLossAndTheWish(t *testing.T) {
	own := errors.New("out of disk")
	stopped := context.Canceled
	wish := LeaseWantedError
	loss := LeaseLostError
	expiry := LeaseExpiredError
	wrapped := fmt.Errorf("stopped: %w", context.Canceled)
	both := func(one, other error) error { return errors.Join(one, other) }
	for name, c := range map[string]struct {
		ending holdEnd
		want   error
	}{
		"done":                     {holdEnd{}, nil},
		"failed":                   {holdEnd{err: own}, own},
		"done, as it was wanted":   {holdEnd{cause: wish}, nil},
		"failed, as it was wanted": {holdEnd{err: own, cause: wish}, own},
		"stopped, as it was wanted": {
			holdEnd{err: stopped, cause: wish},
			wish,
		},
		"says that it was wanted": {holdEnd{err: wish, cause: wish}, wish},
		"wraps that it was stopped": {
			holdEnd{err: wrapped, cause: wish},
			both(wrapped, wish),
		},
		"stopped by itself": {holdEnd{err: stopped}, stopped},
		"stopped by the caller": {
			holdEnd{err: stopped, callerDone: true},
			stopped,
		},
		"by the caller, and wanted": {
			holdEnd{err: stopped, cause: wish, callerDone: true},
			stopped,
		},
		"wrapped, by the caller, wanted": {
			holdEnd{err: wrapped, cause: wish, callerDone: true},
			wrapped,
		},
		"ran into another deadline": {
			holdEnd{err: context.DeadlineExceeded, cause: wish},
			context.DeadlineExceeded,
		},

		"done, but lost":            {holdEnd{cause: loss, loss: loss}, loss},
		"done, but lost at its end": {holdEnd{loss: loss}, loss},
		"failed, and lost": {
			holdEnd{err: own, cause: loss, loss: loss},
			both(own, loss),
		},
		"stopped, as it was lost": {
			holdEnd{err: stopped, cause: loss, loss: loss},
			loss,
		},
		"says that it had expired": {
			holdEnd{err: expiry, cause: expiry, loss: loss},
			loss,
		},
		"says what wasn't": {
			holdEnd{err: wish, cause: loss, loss: loss},
			both(wish, loss),
		},
		"wraps that it was lost": {
			holdEnd{err: wrapped, cause: loss, loss: loss},
			both(wrapped, loss),
		},
		"by the caller, and lost": {
			holdEnd{err: stopped, cause: loss, callerDone: true, loss: loss},
			both(stopped, loss),
		},
		"done by the caller, lost": {
			holdEnd{callerDone: true, loss: loss},
			loss,
		},
		"wanted, stopped, and lost": {
			holdEnd{err: stopped, cause: wish, loss: loss},
			loss,
		},
		"wanted, failed, and lost": {
			holdEnd{err: own, cause: wish, loss: loss},
			both(own, loss),
		},
		"stopped by itself, lost": {
			holdEnd{err: stopped, loss: loss},
			both(stopped, loss),
		},
	} {
		assert.Equal(t, c.want, c.ending.result(), name)
	}
}

// TestHoldsResultHidesNothing goes through all combinations.
func TestHoldsResultHidesNothing(t *testing.T) {
	errs := []error{
		nil, LeaseWantedError, LeaseLostError, LeaseExpiredError, LeaseReleasedError,
		LeaseStuckError, context.Canceled, fmt.Errorf("stopped: %w", context.Canceled),
		context.DeadlineExceeded, errors.New("out of disk"),
	}
	causes := []error{
		nil, LeaseWantedError, LeaseLostError, LeaseExpiredError, LeaseReleasedError, LeaseStuckError,
	}
	losses := []error{nil, LeaseLostError, LeaseStuckError, errors.Join(LeaseStuckError, LeaseLostError)}
	for _, err := range errs {
		for _, cause := range causes {
			for _, loss := range losses {
				for _, callerDone := range []bool{false, true} {
					e := holdEnd{err: err, cause: cause, loss: loss, callerDone: callerDone}
					checkResult(t, e)
				}
			}
		}
	}
}

func checkResult(t *testing.T, e holdEnd) {
	got := e.result()
	what := fmt.Sprintf("%+v", e)
	isEcho := e.err == context.Canceled || e.err == e.cause
	assert.Equal(t, e.err == nil && e.loss == nil, got == nil, what)
	if e.loss != nil {
		assert.ErrorIs(t, got, e.loss, what)
	}
	if e.err != nil && !isEcho {
		assert.ErrorIs(t, got, e.err, what)
	}
	isByWish := errors.Is(got, LeaseWantedError) && e.err != LeaseWantedError
	if isByWish {
		assert.Equal(t, LeaseWantedError, e.cause, what)
		assert.False(t, e.callerDone, what)
	}
}

func TestHoldsLossSaysWhatHappened(t *testing.T) {
	outage := fmt.Errorf("%w: %w", LeaseLostError, errors.New("503"))
	for name, c := range map[string]struct {
		over, beat error
		want       string // "" for none
	}{
		"held":                    {nil, nil, ""},
		"released by work":        {LeaseReleasedError, nil, ""},
		"stuck":                   {LeaseStuckError, LeaseLostError, ""},
		"another's":               {LeaseLostError, LeaseLostError, "Lease Lost"},
		"another's, seen by work": {LeaseLostError, nil, "Lease Lost"},
		"an outage":               {LeaseExpiredError, outage, "Lease Lost: 503"},
		"a pause":                 {LeaseExpiredError, LeaseLostError, `lease: the lease of "a" wasn't renewed in time: Lease Expired`},
		"a heartbeat that left":   {LeaseExpiredError, errLeft, "Lease Lost: " + errLeft.Error()},
	} {
		loss := lossOf("a", c.over, c.beat)
		if c.want == "" {
			assert.NoError(t, loss, name)
			continue
		}
		assert.EqualError(t, loss, c.want, name)
		assert.ErrorIs(t, loss, LeaseLostError, name)
	}
}
