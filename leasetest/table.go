package leasetest

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awsutil"
	"github.com/aws/aws-sdk-go/service/dynamodb"
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

	weightAttribute   = "LeaseWeight"
	capacityAttribute = "LeaseCapacity"
)

// table is what all clients share.
type table struct {
	mu       sync.Mutex // guards what is below, and is never held by a call that blocks
	rows     []*row     // in the order of the scan
	pageSize int
	retired  map[string]int64 // the last tokens of retired items
	given    map[giving]int64 // the ends of what was given away, where the reply was lost
}

// place is where a lease ID comes in the order of the scan.
type place [sha256.Size]byte

func compare(r *row, p place) int { return bytes.Compare(r.place[:], p[:]) }

func placeOf(leaseID string) place { return sha256.Sum256([]byte(leaseID)) }

// SetPageSize makes a page of a scan, by any client, have at most n items; all of them if n is
// 0, which is the default.
func (s *Store) SetPageSize(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pageSize = n
}

// Row returns a copy of the attributes of an item's row, and whether there is one. It sends
// nothing: no switch affects it.
func (s *Store) Row(leaseID string) (attributes map[string]*dynamodb.AttributeValue, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.find(leaseID)
	if r == nil {
		return nil, false
	}
	return r.attributes(), true
}

// Holder returns the LesseeID of whoever holds the item now, by the right clock: "" if nobody
// does. It sends nothing: no switch affects it.
func (s *Store) Holder(leaseID string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.find(leaseID)
	if r == nil || !r.isLive(time.Now().UnixNano()) {
		return ""
	}
	return r.holder
}

// search returns where the row of a lease ID is or would be in the order of the scan.
func (t *table) search(leaseID string) (index int, found bool) {
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

// add adds a row that starts with a token, whatever the attributes say of it. It is refused if
// there is one.
func (t *table) add(
	leaseID string, token int64, attributes map[string]*dynamodb.AttributeValue,
) outcome {
	i, found := t.search(leaseID)
	if found {
		return refused
	}
	users := copyOf(attributes)
	added := &row{
		id:     leaseID,
		place:  placeOf(leaseID),
		token:  token,
		weight: users[weightAttribute],
		users:  users,
	}
	delete(users, tokenAttribute)
	delete(users, weightAttribute)
	t.rows = slices.Insert(t.rows, i, added)
	return applied
}

// remove deletes the row, if there is one.
func (t *table) remove(leaseID string) {
	i, found := t.search(leaseID)
	if !found {
		return
	}
	t.retired[leaseID] = t.rows[i].token
	t.rows = slices.Delete(t.rows, i, i+1)
}

func text(s string) *dynamodb.AttributeValue {
	return &dynamodb.AttributeValue{S: aws.String(s)}
}

func number(n int64) *dynamodb.AttributeValue {
	return &dynamodb.AttributeValue{N: aws.String(strconv.FormatInt(n, 10))}
}

// decimal writes a number without an exponent, in as few digits as show it.
func decimal(n float64) *dynamodb.AttributeValue {
	return &dynamodb.AttributeValue{N: aws.String(strconv.FormatFloat(n, 'f', -1, 64))}
}

// copyOf returns a deep copy, never nil.
func copyOf(attributes map[string]*dynamodb.AttributeValue) map[string]*dynamodb.AttributeValue {
	if attributes == nil {
		return make(map[string]*dynamodb.AttributeValue)
	}
	return *awsutil.CopyOf(&attributes).(*map[string]*dynamodb.AttributeValue)
}
