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
	wrapped := fmt.Errorf("stopped: %w", context.Canceled)
	both := func(one, other error) error { return errors.Join(one, other) }
	for name, c := range map[string]struct {
		ending holdEnd
		want   error
	}{
		"done":                           {holdEnd{}, nil},
		"failed":                         {holdEnd{err: own}, own},
		"done, as it was wanted":         {holdEnd{cause: LeaseWantedError}, nil},
		"failed, as it was wanted":       {holdEnd{err: own, cause: LeaseWantedError}, own},
		"stopped, as it was wanted":      {holdEnd{err: context.Canceled, cause: LeaseWantedError}, LeaseWantedError},
		"says that it was wanted":        {holdEnd{err: LeaseWantedError, cause: LeaseWantedError}, LeaseWantedError},
		"wraps that it was stopped":      {holdEnd{err: wrapped, cause: LeaseWantedError}, both(wrapped, LeaseWantedError)},
		"stopped by itself":              {holdEnd{err: context.Canceled}, context.Canceled},
		"stopped by the caller":          {holdEnd{err: context.Canceled, callerDone: true}, context.Canceled},
		"by the caller, and wanted":      {holdEnd{err: context.Canceled, cause: LeaseWantedError, callerDone: true}, context.Canceled},
		"wrapped, by the caller, wanted": {holdEnd{err: wrapped, cause: LeaseWantedError, callerDone: true}, wrapped},
		"ran into another deadline":      {holdEnd{err: context.DeadlineExceeded, cause: LeaseWantedError}, context.DeadlineExceeded},

		"done, but lost":            {holdEnd{cause: LeaseLostError, loss: LeaseLostError}, LeaseLostError},
		"done, but lost at its end": {holdEnd{loss: LeaseLostError}, LeaseLostError},
		"failed, and lost":          {holdEnd{err: own, cause: LeaseLostError, loss: LeaseLostError}, both(own, LeaseLostError)},
		"stopped, as it was lost":   {holdEnd{err: context.Canceled, cause: LeaseLostError, loss: LeaseLostError}, LeaseLostError},
		"says that it had expired":  {holdEnd{err: LeaseExpiredError, cause: LeaseExpiredError, loss: LeaseLostError}, LeaseLostError},
		"says what wasn't":          {holdEnd{err: LeaseWantedError, cause: LeaseLostError, loss: LeaseLostError}, both(LeaseWantedError, LeaseLostError)},
		"wraps that it was lost":    {holdEnd{err: wrapped, cause: LeaseLostError, loss: LeaseLostError}, both(wrapped, LeaseLostError)},
		"by the caller, and lost":   {holdEnd{err: context.Canceled, cause: LeaseLostError, callerDone: true, loss: LeaseLostError}, both(context.Canceled, LeaseLostError)},
		"done by the caller, lost":  {holdEnd{callerDone: true, loss: LeaseLostError}, LeaseLostError},
		"wanted, stopped, and lost": {holdEnd{err: context.Canceled, cause: LeaseWantedError, loss: LeaseLostError}, LeaseLostError},
		"wanted, failed, and lost":  {holdEnd{err: own, cause: LeaseWantedError, loss: LeaseLostError}, both(own, LeaseLostError)},
		"stopped by itself, lost":   {holdEnd{err: context.Canceled, loss: LeaseLostError}, both(context.Canceled, LeaseLostError)},
	} {
		assert.Equal(t, c.want, c.ending.result(), name)
	}
}

// TestHoldsResultHidesNothing goes through all combinations.
func TestHoldsResultHidesNothing(t *testing.T) {
	errs := []error{
		nil, context.Canceled, LeaseWantedError, LeaseLostError, LeaseExpiredError, LeaseReleasedError,
		context.DeadlineExceeded, errors.New("out of disk"), fmt.Errorf("stopped: %w", context.Canceled),
	}
	causes := []error{nil, LeaseWantedError, LeaseLostError, LeaseExpiredError, LeaseReleasedError}
	losses := []error{nil, LeaseLostError}
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
