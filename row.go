package lease

import (
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/aws/aws-sdk-go/aws"
)

// The attributes of a row that are this package's. All others are the user's.
const (
	holderAttribute = "ProcessID" // S: the holder's LesseeID; absent when there is none
	// N: Unix nanoseconds at which the lease ends; 0 when free
	untilAttribute = "LeaseUntil"
	tokenAttribute = "FencingToken" // N: grows by one with every tenure
	// S: the LesseeID that asks for the item; empty: an operator asks to free it
	wantedByAttribute = "WantedBy"
	// N: Unix nanoseconds after which that counts no more; there if WantedBy is
	wantedUntilAttribute = "WantedUntil"
	// N: how much of a worker's load the item is; absent, or senseless: 1
	weightAttribute = "LeaseWeight"
	// N: the holder's capacity; absent, or senseless: 1
	capacityAttribute = "LeaseCapacity"
)

var ours = []string{
	holderAttribute,
	untilAttribute,
	tokenAttribute,
	wantedByAttribute,
	wantedUntilAttribute,
	weightAttribute,
	capacityAttribute,
}

// row is a row of the table, and what it shows.
type row struct {
	LeaseItem
	attributes attributes // empty: there is no row
}

func (r row) isThere() bool { return len(r.attributes) > 0 }

// parse reads a row. What it can't make sense of (a wrong type, a token that no count
// reaches) is a rowError.
func (s *LockStore) parse(leaseID string, given attributes) (row, error) {
	until, err := parseUntil(given[untilAttribute])
	token, tokenErr := parseToken(given[tokenAttribute])
	holder, holderErr := parseHolder(given[holderAttribute])
	wantedBy, wanted := parseWish(given[wantedByAttribute], given[wantedUntilAttribute])
	r := row{attributes: given, LeaseItem: LeaseItem{
		LeaseID:      leaseID,
		LesseeID:     holder,
		FencingToken: token,
		LeaseUntil:   until,
		WantedBy:     wantedBy,
		WantedUntil:  wanted,
		Weight:       parseLoad(given[weightAttribute]),
		Capacity:     parseLoad(given[capacityAttribute]),
	}}
	if until > 0 {
		least, _ := s.clock.correction()
		r.Until = time.Unix(0, until).Add(-least) // It may be free later than this.
	}
	if err = firstOf(holderErr, err, tokenErr); err != nil {
		r.Unusable = true
		err = rowError{fmt.Errorf("lease: the row of %q in table %q can't be leased: %w", leaseID, s.table, err)}
	}
	return r, err
}

func parseHolder(holder *value) (string, error) {
	if holder == nil {
		return "", nil
	}
	if holder.S == nil {
		return "", errors.New(holderAttribute + " is not a string")
	}
	return *holder.S, nil
}

func parseToken(token *value) (int64, error) {
	const most = 1<<62 - 1
	if token == nil {
		return 0, nil
	}
	f, err := parseNumber(token)
	if err == nil {
		n, accuracy := f.Int64() // of 1.8E12, too
		isCount := accuracy == big.Exact && n >= 0 && n <= most
		if isCount {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%s %q is no number that a count of tenures reaches",
		tokenAttribute, aws.StringValue(token.N))
}

// parseWish reads a wish. What is there and makes no sense as one ends at -1.
func parseWish(by, until *value) (wantedBy string, wantedUntil int64) {
	if by != nil && by.S != nil {
		wantedBy = *by.S
	} else if until != nil {
		return "", -1
	}
	wantedUntil, err := parseUntil(until)
	if err != nil {
		return wantedBy, -1
	}
	return wantedBy, wantedUntil
}

// parseUntil reads a number of DynamoDB's. What no clock reaches becomes the nearest
// that one does.
func parseUntil(until *value) (int64, error) {
	if until == nil {
		return 0, nil
	}
	f, err := parseNumber(until)
	if err != nil {
		return 0, fmt.Errorf("%s %q is not a number", untilAttribute, aws.StringValue(until.N))
	}
	n, _ := f.Int64()
	return n, nil
}

// parseLoad reads a weight or a capacity. What makes no sense as one counts as 1, as does none:
// a share that is less than fair is better than an item without work.
func parseLoad(given *value) float64 {
	if given == nil {
		return 1
	}
	f, err := parseNumber(given)
	if err != nil {
		return 1
	}
	n, _ := f.Float64()
	return positiveOrOne(n)
}

// parseNumber reads a number of DynamoDB's, of up to 38 digits.
func parseNumber(number *value) (*big.Float, error) {
	f, _, err := big.ParseFloat(aws.StringValue(number.N), 10, 128, big.ToNegativeInf)
	return f, err
}
