package chaos

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// A fault that is to be over soon takes at most a moment; one that is to go on takes for ever.
const (
	moment  = 100 * time.Millisecond
	forever = time.Hour
)

// upstream is a server that takes down what it gets and answers with a row.
type upstream struct {
	*httptest.Server
	mu   sync.Mutex
	got  []string
	date time.Time // of its replies, if not the present
}

func newUpstream(t *testing.T) *upstream {
	u := &upstream{}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		u.mu.Lock()
		defer u.mu.Unlock()
		u.got = append(u.got, string(body))
		if !u.date.IsZero() {
			w.Header().Set("Date", u.date.Format(http.TimeFormat))
		}
		w.Header().Set("X-Amz-Crc32", "1")
		io.WriteString(w, `{"Item":{"LeaseUntil":{"N":"1700000000000000000"},"FencingToken":{"N":"7"}}}`)
	}))
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) requests() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.got)
}

// answer is what a request through a proxy met with.
type answer struct {
	*http.Response
	body string
	err  error
}

func ask(t *testing.T, p *Proxy, body string) answer {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	r, err := http.NewRequest(http.MethodPost, p.URL, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("X-Amz-Target", "DynamoDB_20120810.UpdateItem")
	resp, err := client.Do(r)
	a := answer{Response: resp, err: err}
	if err == nil {
		content, err := io.ReadAll(resp.Body)
		assert.NoError(t, err)
		a.body = string(content)
		resp.Body.Close()
	}
	return a
}

func newProxy(t *testing.T, o Options) *Proxy {
	p, err := NewProxy(o)
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.Eventually(t, func() bool { return p.Conns() == 0 }, time.Minute, time.Millisecond)
		assert.NoError(t, p.Close())
	})
	return p
}

func TestEachFault(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for fault, want := range map[string]struct {
		status  int // 0 for a reset
		arrived int // at the time of the answer
		later   int // after the faults
	}{
		RequestReset:     {0, 0, 0},
		RequestSwallowed: {0, 0, 0},
		ReplyReset:       {0, 1, 1},
		ReplySwallowed:   {0, 1, 1},
		RequestDelayed:   {200, 1, 1},
		ReplyDelayed:     {200, 1, 1},
		SentTwice:        {200, 2, 2},
		SentAgain:        {200, 1, 2},
		SentLate:         {0, 0, 1},
		Throttled:        {400, 0, 0},
		Failed:           {500, 0, 0},
		FailedAfter:      {500, 1, 1},
		Foreign:          {503, 0, 0},
	} {
		t.Run(fault, func(t *testing.T) {
			u := newUpstream(t)
			var recorded []Event
			longest := moment
			if want.later > want.arrived {
				longest = forever // until the faults end
			}
			p := newProxy(t, Options{
				Upstream: u.URL, Lessee: "A", Rate: 1, Faults: []string{fault}, Longest: longest,
				Record: func(e Event) { recorded = append(recorded, e) },
			})
			asked := time.Now()
			got := ask(t, p, "{}")
			assert.Equal(t, want.arrived, u.requests())
			if want.status == 0 {
				isReset := errors.Is(got.err, syscall.ECONNRESET) || errors.Is(got.err, io.EOF)
				assert.True(t, isReset, "%v", got.err)
			} else if assert.NoError(t, got.err) {
				assert.Equal(t, want.status, got.StatusCode)
				date, err := http.ParseTime(got.Header.Get("Date"))
				assert.NoError(t, err)
				if fault == Foreign {
					date = date.Add(-foreignClock)
					assert.Empty(t, got.Header.Get("X-Amzn-Requestid"))
				}
				assert.WithinRange(t, date, asked.Add(-time.Second), time.Now())
			}
			p.Calm()
			assert.Equal(t, want.later, u.requests())
			require.Len(t, recorded, 1)
			assert.Equal(t, fault, recorded[0].Note)
			assert.Equal(t, "A", recorded[0].Lessee)
		})
	}
	assert.Len(t, AnyFault, 13)
}

func TestErrorsAreDynamoDBs(t *testing.T) {
	p := newProxy(t, Options{Upstream: newUpstream(t).URL, Rate: 1, Faults: []string{Throttled}})
	got := ask(t, p, "{}")
	assert.Contains(t, got.body, "#ProvisionedThroughputExceededException")
	assert.NotEmpty(t, got.Header.Get("X-Amzn-Requestid"))
}

func TestNothingGetsThroughADarkProxy(t *testing.T) {
	u := newUpstream(t)
	p := newProxy(t, Options{Upstream: u.URL, Longest: moment})
	p.Dark(forever)
	assert.Error(t, ask(t, p, "{}").err)
	assert.Zero(t, u.requests())
	p.Dark(0)
	assert.NoError(t, ask(t, p, "{}").err, "after that time")
}

func TestCalmEndsAllFaults(t *testing.T) {
	u := newUpstream(t)
	p := newProxy(t, Options{
		Upstream: u.URL, Rate: 1, Faults: []string{RequestSwallowed}, Longest: forever,
	})
	hung := make(chan answer)
	go func() { hung <- ask(t, p, "{}") }()
	select {
	case got := <-hung:
		t.Errorf("a swallowed request was answered: %+v", got)
	case <-time.After(moment):
	}
	p.Calm()
	assert.Error(t, (<-hung).err)
	assert.NoError(t, ask(t, p, "{}").err)
	assert.Equal(t, 1, u.requests())
}

func TestTheSeedDecides(t *testing.T) {
	plans := func(seed uint64) (faults []string) {
		p := newProxy(t, Options{Rate: 0.5, Faults: AnyFault, Longest: time.Second, Seed: seed})
		for range 100 {
			fault, _ := p.plan()
			faults = append(faults, fault)
			if fault != "" {
				p.faults.Done()
			}
		}
		return faults
	}
	assert.Equal(t, plans(1), plans(1))
	assert.NotEqual(t, plans(1), plans(2))
	assert.Subset(t, plans(1), AnyFault)
}

func TestAnUnreachableServerResets(t *testing.T) {
	u := newUpstream(t)
	u.Close()
	assert.Error(t, ask(t, newProxy(t, Options{Upstream: u.URL}), "{}").err)
}

// To its user, whose clock is fast, a proxy shows a world whose clocks are slow.
func TestSkew(t *testing.T) {
	for _, c := range []struct {
		skew            time.Duration
		own             bool
		sent, seen, day string
	}{
		{0, false, "1600000000000000000", "1700000000000000000", "Tue, 14 Nov 2023 22:13:20 GMT"},
		{time.Minute, false, "1600000060000000000", "1699999940000000000", "Tue, 14 Nov 2023 22:12:20 GMT"},
		{-time.Minute, false, "1599999940000000000", "1700000060000000000", "Tue, 14 Nov 2023 22:14:20 GMT"},
		{time.Minute, true, "1600000060000000000", "1699999940000000000", "Tue, 14 Nov 2023 22:13:20 GMT"},
	} {
		u := newUpstream(t)
		u.date = time.Unix(1700000000, 0).UTC()
		p := newProxy(t, Options{Upstream: u.URL, Skew: c.skew, OwnDate: c.own})
		got := ask(t, p, `{"ExpressionAttributeValues":{":until":{"N":"1600000000000000000"},":me":{"S":"1600000000000000000"},":token":{"N":"7"},":one":{"N":"1"}}}`)
		require.NoError(t, got.err)
		assert.JSONEq(t, `{"ExpressionAttributeValues":{":until":{"N":"`+c.sent+`"},":me":{"S":"1600000000000000000"},":token":{"N":"7"},":one":{"N":"1"}}}`, u.got[0])
		assert.JSONEq(t, `{"Item":{"LeaseUntil":{"N":"`+c.seen+`"},"FencingToken":{"N":"7"}}}`, got.body)
		assert.Equal(t, c.day, got.Header.Get("Date"))
		assert.Equal(t, c.skew == 0, got.Header.Get("X-Amz-Crc32") != "")
	}
}

func TestRewrite(t *testing.T) {
	u := newUpstream(t)
	p := newProxy(t, Options{Upstream: u.URL, Rewrite: func(operation string, body map[string]any) {
		body["ConditionExpression"] = operation
	}})
	require.NoError(t, ask(t, p, `{"TableName":"t","Limit":9007199254740993}`).err)
	assert.JSONEq(t, `{"TableName":"t","Limit":9007199254740993,"ConditionExpression":"UpdateItem"}`, u.got[0])
	require.NoError(t, ask(t, p, `no JSON`).err)
	assert.Equal(t, "no JSON", u.got[1])
}

func TestShiftGoesDeep(t *testing.T) {
	var value map[string]any
	require.NoError(t, json.NewDecoder(bytes.NewReader([]byte(
		`{"Items":[{"LeaseUntil":{"N":"1700000000000000000"}},{"M":{"L":[{"N":"1700000000000000001"}]}}],"N":{"S":"x"}}`))).Decode(&value))
	shift(value, time.Second)
	got, err := json.Marshal(value)
	require.NoError(t, err)
	assert.JSONEq(t, `{"Items":[{"LeaseUntil":{"N":"1700000001000000000"}},{"M":{"L":[{"N":"1700000001000000001"}]}}],"N":{"S":"x"}}`, string(got))
}

// TestShiftLeavesForeverAlone: a sum would be before all times, and the request senseless.
func TestShiftLeavesForeverAlone(t *testing.T) {
	value := map[string]any{"N": "9223372036854775807"}
	shift(value, time.Minute)
	assert.Equal(t, map[string]any{"N": "9223372036854775807"}, value)
}
