package leasetest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awsutil"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
)

// HashKey is the name of the rows' hash key: of the attribute that holds the lease ID.
const HashKey = "LeaseID"

// The attributes of a row that lease writes.
const (
	holderAttribute = "ProcessID"
	untilAttribute  = "LeaseUntil"
	tokenAttribute  = "FencingToken"
	wantedBy        = "WantedBy"
	wantedUntil     = "WantedUntil"
)

// table is what all clients share.
type table struct {
	mu       sync.Mutex // guards what is below, and is never held by a call that blocks
	rows     []*row     // in the order of the scan
	pageSize int
	retired  map[string]int64 // the last tokens of retired items
}

type row struct {
	id     string
	place  place
	holder string // "" for no such attribute
	until  int64  // Unix nanoseconds
	token  int64  // 0 for no such attribute
	older  int64  // until when an older process of the holder's name may rely on the item; 0 if there is none
	wished wished // who wants it
	users  map[string]*dynamodb.AttributeValue
}

// wished is a wish for a row; its zero value is none.
type wished struct {
	by    string
	until int64 // Unix nanoseconds
}

// place is where a lease ID comes in the order of the scan.
type place [sha256.Size]byte

func compare(r *row, p place) int { return bytes.Compare(r.place[:], p[:]) }

func placeOf(leaseID string) place { return sha256.Sum256([]byte(leaseID)) }

// SetPageSize makes a page of a scan, by any client, have at most n items; all of them if n is 0, which
// is the default.
func (s *Store) SetPageSize(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pageSize = n
}

// Row returns a copy of the attributes of an item's row, and whether there is one. It sends nothing:
// no switch affects it.
func (s *Store) Row(leaseID string) (attributes map[string]*dynamodb.AttributeValue, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.find(leaseID)
	if r == nil {
		return nil, false
	}
	return r.attributes(), true
}

// Holder returns the LesseeID of whoever holds the item now, by the right clock: "" if nobody does. It
// sends nothing: no switch affects it.
func (s *Store) Holder(leaseID string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.find(leaseID)
	if r == nil || r.until < time.Now().UnixNano() {
		return ""
	}
	return r.holder
}

// search returns where the row of a lease ID is or would be in the order of the scan.
func (t *table) search(leaseID string) (int, bool) {
	return slices.BinarySearchFunc(t.rows, placeOf(leaseID), compare)
}

// find returns the row of a lease ID, nil if there is none.
func (t *table) find(leaseID string) *row {
	i, found := t.search(leaseID)
	if !found {
		return nil
	}
	return t.rows[i]
}

// after returns the rows that come after a place in the order of the scan; all after "".
func (t *table) after(leaseID string) []*row {
	if leaseID == "" {
		return t.rows
	}
	i, found := t.search(leaseID)
	if found {
		i++
	}
	return t.rows[i:]
}

// add adds a row that starts with a token, whatever the attributes say of it.
func (t *table) add(leaseID string, token int64, attributes map[string]*dynamodb.AttributeValue) error {
	if err := checkName("lease ID", leaseID); err != nil {
		return err
	}
	i, found := t.search(leaseID)
	if found {
		return fmt.Errorf("leasetest: %w: %q", lease.LeaseIDExistsError, leaseID)
	}
	users := copyOf(attributes)
	delete(users, tokenAttribute)
	t.rows = slices.Insert(t.rows, i, &row{id: leaseID, place: placeOf(leaseID), token: token, users: users})
	return nil
}

func (t *table) remove(leaseID string) {
	if i, found := t.search(leaseID); found {
		t.retired[leaseID] = t.rows[i].token
		t.rows = slices.Delete(t.rows, i, i+1)
	}
}

// isOf tells whether the row is there and the lessee has it by the lease's tenure.
func (r *row) isOf(lessee string, l *lease.Lease) bool {
	return r != nil && r.holder == lessee && r.token == l.FencingToken()
}

// isFor tells whether the row is there and the lessee may lease it.
func (r *row) isFor(lessee string, now int64) bool {
	return r != nil && (r.until < now || r.holder == lessee)
}

// begin begins a tenure, which remembers until when an older process of that name may rely on the item.
func (r *row) begin(lessee string, until, older int64) {
	r.holder, r.until, r.older, r.token, r.wished = lessee, until, older, r.token+1, wished{}
}

// release frees the row, for others once an older process of the holder's name has given it up.
func (r *row) release() { r.holder, r.until, r.older, r.wished = "", r.older, 0, wished{} }

// attributes returns the row as DynamoDB would.
func (r *row) attributes() map[string]*dynamodb.AttributeValue {
	all := copyOf(r.users)
	all[HashKey] = &dynamodb.AttributeValue{S: aws.String(r.id)}
	all[untilAttribute] = number(r.until)
	if r.holder != "" {
		all[holderAttribute] = &dynamodb.AttributeValue{S: aws.String(r.holder)}
	}
	if r.token != 0 {
		all[tokenAttribute] = number(r.token)
	}
	if r.wished != (wished{}) {
		all[wantedBy] = &dynamodb.AttributeValue{S: aws.String(r.wished.by)}
		all[wantedUntil] = number(r.wished.until)
	}
	return all
}

func number(n int64) *dynamodb.AttributeValue {
	return &dynamodb.AttributeValue{N: aws.String(strconv.FormatInt(n, 10))}
}

// copyOf returns a deep copy, never nil.
func copyOf(attributes map[string]*dynamodb.AttributeValue) map[string]*dynamodb.AttributeValue {
	if attributes == nil {
		return make(map[string]*dynamodb.AttributeValue)
	}
	return *awsutil.CopyOf(&attributes).(*map[string]*dynamodb.AttributeValue)
}
