package lease

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// LeaseItem is what a scan shows of a lease item.
type LeaseItem struct {
	LeaseID  string
	LesseeID string    // the last holder; "" when it was never leased, or was released
	Until    time.Time // when its lease ends or ended, by this host's clock; zero when it was never leased, or was released

	// What the row says of the last holder's tenure; both are 0 when it was never leased, or was released.
	FencingToken int64
	LeaseUntil   int64 // Unix nanoseconds, by the database's clock
}

// row is what this package's attributes of a row say. The zero row is free.
type row struct {
	holder string
	until  int64 // Unix nanoseconds of the database's clock
	token  int64
	item   attributes // all; empty: there is no row
}

// parse reads a row. What it can't make sense of (a wrong type, a token that no count reaches) is a rowError.
func (s *LockStore) parse(leaseID string, item attributes) (r row, err error) {
	r.item = item
	holder, until, token := item[holderAttribute], item[untilAttribute], item[tokenAttribute]
	switch {
	case holder != nil && holder.S == nil:
		err = errors.New(holderAttribute + " is not a string")
	case until != nil && until.N == nil:
		err = errors.New(untilAttribute + " is not a number")
	case until != nil:
		r.until, err = parseNanoseconds(*until.N)
	}
	if holder != nil {
		r.holder = aws.StringValue(holder.S)
	}
	if err == nil {
		r.token, err = parseToken(token)
	}
	if err != nil {
		err = rowError{fmt.Errorf("lease: the row of %q in table %q can't be leased: %w", leaseID, s.table, err)}
	}
	return r, err
}

func parseToken(token *dynamodb.AttributeValue) (int64, error) {
	if token == nil {
		return 0, nil
	}
	n, err := strconv.ParseInt(aws.StringValue(token.N), 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/2 {
		return n, fmt.Errorf("%s %q is no number that a count of tenures reaches", tokenAttribute, aws.StringValue(token.N))
	}
	return n, nil
}

// parseNanoseconds reads a number of DynamoDB's: up to 38 digits and fractions. What no clock
// reaches becomes the nearest that one does: such a row is held for good, or free.
func parseNanoseconds(n string) (int64, error) {
	if i, err := strconv.ParseInt(n, 10, 64); err == nil {
		return i, nil
	}
	f, err := strconv.ParseFloat(n, 64)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange) || math.IsNaN(f):
		return 0, fmt.Errorf("%s %q is not a number", untilAttribute, n)
	case f >= math.MaxInt64:
		return math.MaxInt64, nil
	case f <= math.MinInt64:
		return math.MinInt64, nil
	}
	return int64(math.Ceil(f)), nil
}

// ListLeaseIDs returns the hash keys of all rows of the table, in the order of the scan. It reads
// every page, eventually consistent: half a read unit for each 4 KB of the table.
func (s *LockStore) ListLeaseIDs() ([]string, error) {
	return s.ListLeaseIDsWithContext(context.Background())
}

// ListLeaseIDsWithContext is [LockStore.ListLeaseIDs] with a context.
func (s *LockStore) ListLeaseIDsWithContext(ctx context.Context) ([]string, error) {
	ids := []string{}
	for after := ""; ; {
		rows, next, err := s.page(ctx, after, 0, "#key")
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			ids = append(ids, *row[s.key].S)
		}
		if after = next; after == "" {
			return ids, nil
		}
	}
}

// ScanLeaseItems returns one page of the lease items and who holds them: those that follow the given
// lease ID in the table's own order, or the first page after "". The ID need not be one of the
// table's; any string of UTF-8 names a place in that order, spread evenly. next is where to go on, "" at
// the end. A page is 1 MB of rows, whatever their attributes, or as many rows as limit says if that is
// over 0 and less: half a read unit for each 4 KB.
//
// Rows that can't be leased, as their attributes have the wrong types, are left out and logged once.
func (s *LockStore) ScanLeaseItems(after string, limit int) (items []LeaseItem, next string, err error) {
	return s.ScanLeaseItemsWithContext(context.Background(), after, limit)
}

// ScanLeaseItemsWithContext is [LockStore.ScanLeaseItems] with a context.
func (s *LockStore) ScanLeaseItemsWithContext(ctx context.Context, after string, limit int) (items []LeaseItem, next string, err error) {
	rows, next, err := s.page(ctx, after, limit, "#key, #holder, #until, #token")
	if err != nil {
		return nil, "", err
	}
	least, _ := s.clock.correction() // the item may be free later than this says
	items = make([]LeaseItem, 0, len(rows))
	for _, attributes := range rows {
		item := LeaseItem{LeaseID: *attributes[s.key].S}
		r, err := s.parse(item.LeaseID, attributes)
		if err != nil {
			if _, logged := s.skipped.LoadOrStore(item.LeaseID, true); !logged {
				logError("Lease Item Skipped", "lease_id", item.LeaseID, "error", err)
			}
			continue
		}
		if r.until > 0 {
			item.Until = time.Unix(0, r.until).Add(-least)
		}
		if r.holder != "" {
			item.LesseeID, item.FencingToken, item.LeaseUntil = r.holder, r.token, r.until
		}
		items = append(items, item)
	}
	return items, next, nil
}

// learnClock reads one row if nothing is known of the database's clock.
func (s *LockStore) learnClock(ctx context.Context) error {
	if s.clock.known() {
		return nil
	}
	_, _, err := s.page(ctx, "", 1, "#key")
	return err
}

// page sends one Scan. Every row it returns has a hash key of type string.
func (s *LockStore) page(ctx context.Context, after string, limit int, projection string) (rows []attributes, next string, err error) {
	if err := s.check(ctx); err != nil {
		return nil, "", err
	}
	in := &dynamodb.ScanInput{TableName: &s.table, ProjectionExpression: &projection, ExpressionAttributeNames: s.names(projection)}
	if after != "" {
		if err := checkName("place to scan from", after); err != nil {
			return nil, "", err
		}
		in.ExclusiveStartKey = attributes{s.key: text(after)}
	}
	if limit > 0 {
		in.Limit = aws.Int64(int64(limit))
	}
	req, out := s.ScanRequest(in)
	if err := s.send(ctx, req, "", ""); err != nil {
		return nil, "", err
	}
	if err := s.checkPage(ctx, out, after == ""); err != nil {
		return nil, "", err
	}
	if last := out.LastEvaluatedKey[s.key]; last != nil {
		next = *last.S
	}
	return out.Items, next, nil
}
