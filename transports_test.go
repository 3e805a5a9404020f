package lease_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
)

// roundTrip makes a function a transport.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func jsonBody(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }

func bodyOf(r *http.Request) []byte {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body
}

// switched is a transport that can be told to misbehave.
type switched struct {
	next http.RoundTripper
	mode atomic.Value // "", "hang", "hang once", "freeze", "freeze once", "reset", "throttle"
	thaw chan struct{}
}

func (s *switched) RoundTrip(r *http.Request) (*http.Response, error) {
	mode, _ := s.mode.Load().(string)
	switch mode {
	case "hang once":
		s.mode.Store("")
		fallthrough
	case "hang":
		<-r.Context().Done()
		return nil, r.Context().Err()
	case "freeze once":
		s.mode.Store("")
		fallthrough
	case "freeze": // doesn't heed its context
		<-s.thaw
		return nil, errors.New("the test is over")
	case "reset":
		return nil, io.ErrUnexpectedEOF
	case "throttle":
		return &http.Response{StatusCode: 400, Header: http.Header{}, Body: jsonBody(
			`{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"slow down"}`)}, nil
	}
	return s.next.RoundTrip(r)
}

// faulty returns a locker on the fixture's table, through a switch, with that many SDK retries.
func (f *fixture) faulty(retries int) (*lease.Locker, *switched) {
	fault := &switched{thaw: make(chan struct{})}
	f.tb.Cleanup(func() { close(fault.thaw) })
	ddb, _ := newClient(f.tb, f.ddb.Endpoint, func(next http.RoundTripper) http.RoundTripper {
		fault.next = next
		return fault
	}, &aws.Config{MaxRetries: aws.Int(retries)})
	return lease.NewLocker(lease.NewLockStore(ddb, f.table, f.key)), fault
}

// imagined is a table that isn't there, so that its time may be imagined too: of the one item "a",
// which always looks free, and whose every write succeeds.
type imagined struct {
	*lease.LockStore
	*meter
	*switched
	arrived *atomic.Int64 // how many requests
	end     *atomic.Int64 // the last LeaseUntil that was written
}

// newImagined makes such a table, and a client that sends each request that many times more if it
// fails.
func newImagined(t *testing.T, retries int) imagined {
	i := imagined{
		meter:    &meter{requests: make(map[string]int)},
		switched: &switched{thaw: make(chan struct{})},
		arrived:  &atomic.Int64{},
		end:      &atomic.Int64{},
	}
	i.next = roundTrip(func(r *http.Request) (*http.Response, error) {
		i.arrived.Add(1)
		var sent struct {
			ExpressionAttributeValues map[string]*dynamodb.AttributeValue
		}
		if err := json.Unmarshal(bodyOf(r), &sent); err != nil {
			return nil, err
		}
		if until := sent.ExpressionAttributeValues[":until"]; until != nil {
			i.end.Store(mustInt(t, until))
		}
		holder := "w1"
		if me := sent.ExpressionAttributeValues[":me"]; me != nil {
			holder = *me.S
		}
		body := fmt.Sprintf(`{"Attributes":{"id":{"S":"a"},"ProcessID":{"S":%q},"LeaseUntil":{"N":"%d"},"FencingToken":{"N":"7"}}}`,
			holder, i.end.Load())
		switch _, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); operation {
		case "Scan":
			body = `{"Items":[{"id":{"S":"a"},"LeaseUntil":{"N":"0"}}]}`
		case "DescribeTable":
			body = `{"Table":{"TableStatus":"CREATING"}}`
		}
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: jsonBody(body)}, nil
	})
	ddb, _ := newClient(t, "http://imagined", func(http.RoundTripper) http.RoundTripper { return i.switched },
		&aws.Config{MaxRetries: aws.Int(retries)})
	i.attach(ddb)
	i.LockStore = lease.NewLockStore(ddb, "leases", "id")
	return i
}

// lossy drops the replies to the numbered requests of that operation (from 1; the first if none is
// named), after the writes were applied.
func lossy(operation string, numbers ...int) between {
	if numbers == nil {
		numbers = []int{1}
	}
	var sent atomic.Int32
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err == nil && strings.HasSuffix(r.Header.Get("X-Amz-Target"), "."+operation) &&
				slices.Contains(numbers, int(sent.Add(1))) {
				resp.Body.Close()
				return nil, io.ErrUnexpectedEOF
			}
			return resp, err
		})
	}
}

// tape records requests, so that they can arrive once more, late.
type tape struct {
	mu    sync.Mutex
	sent  []*http.Request
	bodys [][]byte
	next  http.RoundTripper
}

func (p *tape) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	p.mu.Lock()
	p.sent, p.bodys = append(p.sent, r.Clone(context.Background())), append(p.bodys, body)
	p.mu.Unlock()
	return p.next.RoundTrip(r)
}

// taped returns a store on the fixture's table that knows the clock, and a tape of what it sends
// from now on.
func (f *fixture) taped() (*lease.LockStore, *tape) {
	f.tb.Helper()
	tape := &tape{}
	store := f.through(func(next http.RoundTripper) http.RoundTripper {
		tape.next = next
		return tape
	})
	_, err := store.ListLeaseIDs()
	require.NoError(f.tb, err)
	tape.sent, tape.bodys = nil, nil
	return store, tape
}

// replay sends request n again.
func (p *tape) replay(t *testing.T, n int) {
	r := p.sent[n].Clone(context.Background())
	r.Body = io.NopCloser(bytes.NewReader(p.bodys[n]))
	resp, err := p.next.RoundTrip(r)
	require.NoError(t, err)
	resp.Body.Close()
}

// dated rewrites the Date headers, as if this host's clock were wrong by that much.
func dated(hostError time.Duration) between {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err == nil {
				resp.Header.Set("Date", time.Now().Add(-hostError).UTC().Format(http.TimeFormat))
			}
			return resp, err
		})
	}
}

// misdated returns a store on the fixture's table, and what makes the next reply's Date wrong by
// so much.
func (f *fixture) misdated() (*lease.LockStore, *atomic.Int64) {
	wrong := new(atomic.Int64)
	return f.through(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err == nil {
				ahead := time.Duration(wrong.Swap(0))
				resp.Header.Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
			}
			return resp, err
		})
	}), wrong
}
