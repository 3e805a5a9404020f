package sdkv2_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/sdkv2"
)

// skewed is a server whose clock is another: it refuses signatures of another time, as AWS
// does.
type skewed struct {
	next    http.RoundTripper
	now     func() time.Time
	refused int
}

func (s *skewed) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.answer(r)
	if err != nil {
		return nil, err
	}
	resp.Header.Set("Date", s.now().UTC().Format(http.TimeFormat))
	return resp, nil
}

func (s *skewed) answer(r *http.Request) (*http.Response, error) {
	signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return nil, err
	}
	if signed.Sub(s.now()).Abs() > 5*time.Minute {
		s.refused++
		return answer(r, 400, refusal("InvalidSignatureException", "")), nil
	}
	return s.next.RoundTrip(r)
}

// v2 corrects what it signs, and the lease library what it writes into the row.
func TestClockThatIsAnHourWrongIsCorrected(t *testing.T) {
	for _, off := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			endpoint := ddblocal.ForTest(t).Endpoint
			table := newTable(t, ddblocal.NewClient(endpoint), "a")
			theirs := func() time.Time { return time.Now().Add(-off) }
			transport := &skewed{next: newTransport(t), now: theirs}
			ddb := sdkv2.NewFromConfig(configOf(&http.Client{Transport: transport}, endpoint))
			locker := lease.NewLocker(lease.NewLockStore(ddb, table, "id"))

			// A Date is exact to a second, and what is known of the clock to another.
			const exact = 2 * time.Second
			const duration = 5 * time.Minute
			earliest := theirs().Add(duration - exact)
			started := time.Now()
			l, err := locker.ObtainLease(for5m("w1"))
			require.NoError(t, err)
			latest := theirs().Add(duration + exact)
			assert.Equal(t, 1, transport.refused, "the client remembers the skew")

			n, err := strconv.ParseInt(*l.AttributeValues["LeaseUntil"].N, 10, 64)
			require.NoError(t, err)
			until := time.Unix(0, n)
			const why = "%v is not in the database's time"
			assert.False(t, until.Before(earliest), why, until)
			assert.False(t, until.After(latest), why, until)
			assert.True(t, l.Valid())
			left := l.Remaining()
			assert.LessOrEqual(t, left, duration*9/10)
			assert.GreaterOrEqual(t, left, duration*9/10-time.Since(started))
		})
	}
}
