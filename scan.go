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
}

// row is what this package's attributes of a row say. The zero row is free.
type row struct {
	holder string
	until  int64 // Unix nanoseconds of the server's clock
	token  int64
}

// rowError says that a row can't be leased, whoever tries, while others may be.
type rowError struct {
	leaseID, table string
	cause          error
}

func (e *rowError) Error() string {
	return fmt.Sprintf("lease: the row of %q in table %q can't be leased: %v", e.leaseID, e.table, e.cause)
}

func (e *rowError) Unwrap() error { return e.cause }

// parse reads a row. What it can't make sense of (a wrong type, a token that doesn't count) is
// a *rowError.
func (s *LockStore) parse(leaseID string, item map[string]*dynamodb.AttributeValue) (r row, err error) {
	defer func() {
		if err != nil {
			err = &rowError{leaseID, s.table, err}
		}
	}()
	if holder := item[holderAttribute]; holder != nil {
		if holder.S == nil {
			return r, errors.New(holderAttribute + " is not a string")
		}
		r.holder = *holder.S
	}
	if until := item[untilAttribute]; until != nil {
		if until.N == nil {
			return r, errors.New(untilAttribute + " is not a number")
		}
		if r.until, err = parseNanoseconds(*until.N); err != nil {
			return r, err
		}
	}
	if r.token, err = fencingToken(item); err == nil && (r.token < 0 || r.token == math.MaxInt64) {
		err = fmt.Errorf("%s is %d, which no count of tenures reaches", tokenAttribute, r.token)
	}
	return r, err
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
	if err := s.checkContext(ctx); err != nil {
		return nil, err
	}
	ids := []string{}
	seen := make(map[string]bool)
	for after := ""; ; {
		rows, next, err := s.page(ctx, after, 0, s.listing)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			id := *row[s.key].S
			if seen[id] {
				return nil, s.misfit("has several rows of the hash key value %q: it has a sort key, which lease items can't have", id)
			}
			seen[id] = true
			ids = append(ids, id)
		}
		if next == "" {
			return ids, nil
		}
		after = next
	}
}

// ScanLeaseItems returns one page of the lease items and who holds them: those that follow the given
// lease ID in the table's own order, or the first page after "". The ID need not be one of the
// table's; any string names a place in that order, spread evenly. next is where to go on, "" at the
// end. A page is 1 MB of rows, whatever their attributes, or as many rows as limit says if that is
// over 0 and less: half a read unit for each 4 KB.
//
// Rows that can't be leased, as their attributes have the wrong types, are left out and logged once.
func (s *LockStore) ScanLeaseItems(after string, limit int) (items []LeaseItem, next string, err error) {
	return s.ScanLeaseItemsWithContext(context.Background(), after, limit)
}

// ScanLeaseItemsWithContext is [LockStore.ScanLeaseItems] with a context.
func (s *LockStore) ScanLeaseItemsWithContext(ctx context.Context, after string, limit int) (items []LeaseItem, next string, err error) {
	if err := s.checkContext(ctx); err != nil {
		return nil, "", err
	}
	rows, next, err := s.page(ctx, after, limit, s.viewing)
	if err != nil {
		return nil, "", err
	}
	correction, _, _ := s.clock.correction() // the least: the item may be free later than this says
	items = make([]LeaseItem, 0, len(rows))
	for _, attributes := range rows {
		id := *attributes[s.key].S
		r, err := s.parse(id, attributes)
		if err != nil {
			if _, logged := s.skipped.LoadOrStore(id, true); !logged {
				logError("Lease Item Skipped", "lease_id", id, "error", err)
			}
			continue
		}
		item := LeaseItem{LeaseID: id, LesseeID: r.holder}
		if r.until > 0 {
			item.Until = time.Unix(0, r.until).Add(-correction)
		}
		items = append(items, item)
	}
	return items, next, nil
}

// page sends one Scan. Every row it returns has a hash key of type string.
func (s *LockStore) page(ctx context.Context, after string, limit int, t template) (rows []map[string]*dynamodb.AttributeValue, next string, err error) {
	input := &dynamodb.ScanInput{
		TableName:                &s.table,
		ProjectionExpression:     t.Projection(),
		ExpressionAttributeNames: t.names,
	}
	if after != "" {
		input.ExclusiveStartKey = map[string]*dynamodb.AttributeValue{s.key: text(after)}
	}
	if limit > 0 {
		input.Limit = aws.Int64(int64(limit))
	}
	req, out := s.ScanRequest(input)
	if err := s.send(ctx, req); err != nil {
		return nil, "", s.explainTable(ctx, err)
	}
	for _, row := range out.Items {
		if err := s.checkKey(row[s.key]); err != nil {
			return nil, "", err
		}
	}
	if len(out.LastEvaluatedKey) > 0 {
		if len(out.LastEvaluatedKey) > 1 {
			return nil, "", s.misfit("has a sort key, which lease items can't have")
		}
		last := out.LastEvaluatedKey[s.key]
		if err := s.checkKey(last); err != nil {
			return nil, "", err
		}
		next = aws.StringValue(last.S)
	}
	return out.Items, next, nil
}

// checkKey tells what is wrong with the table if a row shows this under the hash key's name.
func (s *LockStore) checkKey(value *dynamodb.AttributeValue) error {
	switch {
	case value == nil:
		return s.misfit("has rows without the hash key %q", s.key)
	case value.N != nil:
		return s.misfit("has a hash key %q of type N (number); want S (string)", s.key)
	case value.S == nil:
		return s.misfit("has a hash key %q of type B (binary); want S (string)", s.key)
	}
	return nil
}

// misfit returns the error of a table that can't hold lease items.
func (s *LockStore) misfit(format string, args ...any) error {
	return fmt.Errorf("lease: table %q "+format, append([]any{s.table}, args...)...)
}
