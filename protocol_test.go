package lease_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
)

// TestProtocolIsWhatIsSent: the requests in docs/protocol.md are those that a LockStore sends, to the letter but for
// line breaks: none is missing, and none is made up. So are the placeholders in its tables, with their names and types.
func TestProtocolIsWhatIsSent(t *testing.T) {
	t.Parallel()
	w := &wire{}
	w.callEverything(t)
	document, err := os.ReadFile("docs/protocol.md")
	require.NoError(t, err)

	documented := make(map[string]bool)
	for _, block := range regexp.MustCompile("(?s)```protocol\n(.*?)```").FindAllStringSubmatch(string(document), -1) {
		documented[strings.Join(strings.Fields(block[1]), " ")] = true
	}
	names, types := make(map[string]string), make(map[string]string)
	for _, row := range regexp.MustCompile("(?m)^\\| (`[#:].*?) \\| (.*?) \\|").FindAllStringSubmatch(string(document), -1) {
		holders := strings.Split(strings.ReplaceAll(row[1], "`", ""), ", ")
		for i, holder := range holders {
			if kinds := strings.Split(row[2], ", "); strings.HasPrefix(holder, ":") {
				types[holder] = kinds[min(i, len(kinds)-1)]
			} else {
				names[holder] = strings.Trim(row[2], "`")
			}
		}
	}
	names["#key"] = wireKey // "your hash key"

	sent, saved := make(map[string]bool), regexp.MustCompile(`^[#:]s\d+$`)
	for _, r := range w.requests {
		sent[r.String()] = true
		assert.False(t, r.ConsistentRead, "%s", r)
		if strings.HasSuffix(r.operation, "Item") {
			assert.Equal(t, "ALL_OLD", r.ReturnValuesOnConditionCheckFailure, "%s", r)
		}
		if r.operation == "UpdateItem" {
			assert.Equal(t, "ALL_NEW", r.ReturnValues, "%s", r)
		}
		for holder, name := range r.ExpressionAttributeNames {
			if saved.MatchString(holder) {
				continue // the user's
			}
			assert.Equal(t, names[holder], name, "%s in %s", holder, r)
		}
		for holder, value := range r.ExpressionAttributeValues {
			if saved.MatchString(holder) {
				continue
			}
			for kind := range value {
				assert.Equal(t, types[holder], kind, "%s in %s", holder, r)
			}
		}
	}
	for r := range sent {
		assert.True(t, documented[r], "it is sent, and not in docs/protocol.md:\n%s", r)
	}
	for r := range documented {
		assert.True(t, sent[r], "it is in docs/protocol.md, and never sent:\n%s", r)
	}
	for holder := range types {
		used := slices.ContainsFunc(w.requests, func(r wireRequest) bool { return r.ExpressionAttributeValues[holder] != nil })
		assert.True(t, used, "%s is in docs/protocol.md, and never sent", holder)
	}
}

const wireKey = "lock.id"

// wire is a transport that keeps what is sent, and answers as a table would in which all goes well.
type wire struct {
	requests []wireRequest
	before   func(wireRequest) // each request; nil for nothing
	table    string            // its description; "" for one that shows nothing
}

// store returns a store of the one row "alice" that sends its requests there.
func (w *wire) store(t *testing.T) *lease.LockStore {
	through := func(http.RoundTripper) http.RoundTripper { return w }
	ddb, _ := newClient(t, "http://127.0.0.1:1", through)
	return lease.NewLockStore(ddb, "leases", wireKey)
}

// last returns the last request.
func (w *wire) last() wireRequest { return w.requests[len(w.requests)-1] }

type wireRequest struct {
	operation                                                   string
	body                                                        string
	ConditionExpression, UpdateExpression, ProjectionExpression string
	FilterExpression, KeyConditionExpression                    string
	ReturnValues, ReturnValuesOnConditionCheckFailure           string
	ConsistentRead                                              bool
	Limit                                                       int
	ExpressionAttributeNames                                    map[string]string
	ExpressionAttributeValues                                   map[string]map[string]string
}

// String is the request as the document shows it.
func (r wireRequest) String() string {
	s := r.operation
	for _, field := range []struct{ name, expression string }{
		{"ConditionExpression", r.ConditionExpression}, {"UpdateExpression", r.UpdateExpression},
		{"ProjectionExpression", r.ProjectionExpression}, {"FilterExpression", r.FilterExpression},
		{"KeyConditionExpression", r.KeyConditionExpression},
	} {
		if field.expression != "" {
			s += " " + field.name + ": " + field.expression
		}
	}
	return s
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	sent := wireRequest{operation: operation, body: string(body)}
	if err := json.Unmarshal(body, &sent); err != nil {
		return nil, err
	}
	if w.before != nil {
		w.before(sent)
	}
	first := !slices.ContainsFunc(w.requests, func(r wireRequest) bool { return r.operation == operation })
	w.requests = append(w.requests, sent)
	status, reply := http.StatusOK, "{}"
	switch {
	case operation == "DescribeTable" && first:
		status, reply = http.StatusBadRequest, `{"__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException"}`
	case operation == "DescribeTable":
		reply = fmt.Sprintf(`{"Table": %s}`, cmp.Or(w.table, `{"TableStatus": "ACTIVE"}`))
	case operation == "Scan":
		reply = fmt.Sprintf(`{"Items": [{%q: {"S": "alice"}}]}`, wireKey)
	case operation == "UpdateItem":
		reply = fmt.Sprintf(`{"Attributes": {%q: {"S": "alice"}, "ProcessID": {"S": "w1"}, "FencingToken": {"N": "1"}, "LeaseUntil": {"N": "%d"}}}`,
			wireKey, time.Now().Add(time.Minute).UnixNano())
	}
	return &http.Response{StatusCode: status, Body: jsonBody(reply), Request: r,
		Header: http.Header{"Date": {time.Now().UTC().Format(http.TimeFormat)}}}, nil
}

// callEverything calls every method of a LockStore that sends requests of its own, in every way that changes them.
func (w *wire) callEverything(t *testing.T) {
	s := w.store(t)
	ctx, me, until := t.Context(), for30s("w1"), time.Now().Add(30*time.Second)
	seen := lease.LeaseItem{LeaseID: "alice", LesseeID: "w2", FencingToken: 1, LeaseUntil: until.UnixNano(), Until: until}
	held := func() *lease.Lease {
		l, err := s.LeaseWithContext(ctx, "alice", me, until)
		require.NoError(t, err)
		return l
	}
	own := seen
	own.LesseeID = me.id
	wanted := own
	wanted.WantedBy = "w2"
	wanted.WantedUntil = until.UnixNano()
	leaseAsSeen := func(by lease.LeaseRequest, seen lease.LeaseItem) error {
		_, err := s.LeaseAsSeen(ctx, seen, nil, by, until)
		return err
	}
	large := spacious{me, 2.5}
	weighed := func(weight float64) *lease.Lease {
		l, err := lease.NewLocker(s).ObtainLease(me)
		require.NoError(t, err)
		l.SetWeight(weight)
		return l
	}
	calls := map[string]func() error{
		"ListLeaseIDs":   func() error { _, err := s.ListLeaseIDsWithContext(ctx); return err },
		"ScanLeaseItems": func() error { _, _, err := s.ScanLeaseItemsWithContext(ctx, "", 0); return err },
		"Lease":          func() error { held(); return nil },
		"LeaseAsSeen": func() error {
			return errors.Join(leaseAsSeen(me, seen), leaseAsSeen(me, own), leaseAsSeen(me, wanted))
		},
		"Lease, LeaseAsSeen, of a capacity": func() error {
			_, err := s.LeaseWithContext(ctx, "alice", large, until)
			return errors.Join(err, leaseAsSeen(large, seen), leaseAsSeen(large, own), leaseAsSeen(large, wanted))
		},
		"RenewLease":     func() error { return s.RenewLeaseWithContext(ctx, held(), until) },
		"RenewLeaseItem": func() error { _, err := s.RenewLeaseItem(ctx, held(), until, until); return err },
		"RenewLease, RenewLeaseItem, of a weight": func() error {
			_, err := s.RenewLeaseItem(ctx, weighed(30), until, until)
			return errors.Join(err, s.RenewLeaseWithContext(ctx, weighed(30), until))
		},
		"ReleaseLease":  func() error { return s.ReleaseLeaseWithContext(ctx, held()) },
		"WantLease":     func() error { return s.WantLease(ctx, seen, "w1", until) },
		"WithdrawWish":  func() error { _, err := s.WithdrawWish(ctx, seen, "w2", until); return err },
		"HandOverLease": func() error { return s.HandOverLease(ctx, held(), until) },
		"SaveAttributes": func() error {
			l := held()
			literal := &lease.Lease{LeaseID: "alice", Request: me, Until: until, AttributeValues: l.AttributeValues}
			saved := row{"Cursor": num(1), "Old": nil}
			return errors.Join(s.SaveAttributes(ctx, l, saved), s.SaveAttributes(ctx, literal, saved))
		},
		"AddLeaseID":    func() error { return s.AddLeaseIDWithContext(ctx, "alice", nil) },
		"RemoveLeaseID": func() error { return s.RemoveLeaseIDWithContext(ctx, "alice") },
		"RemoveLease":   func() error { return s.RemoveLeaseWithContext(ctx, held()) },
		"EnsureTable":   func() error { return s.EnsureTableWithContext(ctx) },
	}
	sdk, ours := reflect.TypeFor[*dynamodb.DynamoDB](), reflect.TypeFor[*lease.LockStore]()
	for i := range ours.NumMethod() { // What sends requests takes a context, here or in its variant.
		method := ours.Method(i)
		_, promoted := sdk.MethodByName(method.Name)
		if takes := method.Type; !promoted && takes.NumIn() > 1 && takes.In(1) == reflect.TypeFor[context.Context]() {
			name := strings.TrimSuffix(method.Name, "WithContext")
			assert.Contains(t, calls, name, "a method whose requests this test doesn't see")
		}
	}
	for name, call := range calls {
		require.NoError(t, call(), name)
	}
}
