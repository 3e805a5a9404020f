package lease

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestCallUnderADoneContextIsNotMade(t *testing.T) {
	t.Parallel()
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for ctx, patience := range map[context.Context]time.Duration{done: time.Hour, t.Context(): 0} {
		synctest.Test(t, func(t *testing.T) {
			isCalled := false
			_, err := await(ctx, patience, func(context.Context) (nothing, error) {
				isCalled = true
				return nothing{}, nil
			})
			synctest.Wait()
			assert.Error(t, err)
			assert.False(t, isCalled)
		})
	}
}

func TestSleepThatEndsWithItsContextIsCutOff(t *testing.T) {
	t.Parallel()
	for range 100 { // Either may be first.
		synctest.Test(t, func(t *testing.T) {
			end := time.Now().Add(time.Second)
			ctx, cancel := context.WithDeadline(t.Context(), end)
			defer cancel()
			assert.True(t, sleepUntil(ctx, end.Add(-1)))
			assert.False(t, sleepUntil(ctx, end))
			assert.Equal(t, end, time.Now())
		})
	}
}
