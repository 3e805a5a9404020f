package sdkv2_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/sdkv2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestClockThatIsAnHourWrongIsCorrected: the server refuses signatures of another time than its
// own, as AWS does. v2 corrects what it signs, and the lease library what it writes into the
// row.
func TestClockThatIsAnHourWrongIsCorrected(t *testing.T) {
	for _, off := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			local := ddblocal.ForTest(t).Endpoint
			theirs := func() time.Time { return time.Now().Add(-off) }
			refused := 0
			transport := newTransport(t)
			skewed := roundTrip(func(r *http.Request) (*http.Response, error) {
				var resp *http.Response
				signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
				if err != nil {
					return nil, err
				}
				if signed.Sub(theirs()).Abs() > 5*time.Minute {
					refused++
					resp = answer(r, 400, refusal("InvalidSignatureException", ""))
				} else if resp, err = transport.RoundTrip(r); err != nil {
					return nil, err
				}
				resp.Header.Set("Date", theirs().UTC().Format(http.TimeFormat))
				return resp, nil
			})
			table := newTable(t, ddblocal.NewClient(local), "a")
			ddb := sdkv2.NewFromConfig(configOf(&http.Client{Transport: skewed}, local))
			l, err := lease.NewLocker(lease.NewLockStore(ddb, table, "id")).ObtainLease(for30s("w1"))
			require.NoError(t, err)
			assert.Equal(t, 1, refused, "the client remembers the skew")
			var until int64
			fmt.Sscan(*l.AttributeValues["LeaseUntil"].N, &until)
			assert.InDelta(t, theirs().Add(30*time.Second).Unix(), time.Unix(0, until).Unix(), 2, "the row's end is in the database's time")
			assert.True(t, l.Valid())
			assert.InDelta(t, 27, l.Remaining().Seconds(), 2)
		})
	}
}
