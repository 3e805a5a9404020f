package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// LeaseItem is what a row shows of a lease item.
type LeaseItem struct {
	LeaseID      string
	LesseeID     string    // the last holder; "" when it was never leased, or was released
	Until        time.Time // until when it is or was held, by this host's clock; may be zero when it is free
	FencingToken int64     // of the last tenure, or what it was registered with
	LeaseUntil   int64     // the row's: Unix nanoseconds by the database's clock, 0 when it is free
	WantedBy     string    // who asks the holder for it; "" also when an operator asks to free it
	WantedUntil  int64     // until when that counts, as LeaseUntil; 0 when nobody asks, -1 when it makes no sense
}

// wanted returns until when somebody wants the item, by this host's clock; zero if nobody does, or too far ahead: by a slip.
func (i LeaseItem) wanted(duration time.Duration) time.Time {
	until := i.Until.Add(time.Duration(i.WantedUntil - i.LeaseUntil))
	if i.WantedUntil <= 0 || until.Before(time.Now()) || time.Until(until) > horizon(duration) {
		return time.Time{}
	}
	return until
}

func horizon(duration time.Duration) time.Duration { return max(10*(duration/3), 10*time.Minute) }

type row struct {
	LeaseItem
	item   attributes // empty: there is no row
	resent bool       // it refused a request that the SDK sent again, whose first may have been applied
}

// parse reads a row. What it can't make sense of (a wrong type, a token that no count reaches) is a rowError.
func (s *LockStore) parse(leaseID string, item attributes) (*row, error) {
	until, noUntil := parseUntil(cmp.Or(item[untilAttribute], zero))
	token, noToken := parseToken(cmp.Or(item[tokenAttribute], zero))
	wanted, senseless := parseUntil(cmp.Or(item[wantedUntilAttribute], zero))
	if senseless != nil {
		wanted = -1
	}
	by, holder, err := cmp.Or(item[wantedByAttribute], zero).S, cmp.Or(item[holderAttribute], text("")).S, cmp.Or(noUntil, noToken)
	if holder == nil {
		err = errors.New(holderAttribute + " is not a string")
	}
	if err != nil {
		err = rowError{fmt.Errorf("lease: the row of %q in table %q can't be leased: %w", leaseID, s.table, err)}
	}
	r := &row{LeaseItem{leaseID, aws.StringValue(holder), time.Time{}, token, until, aws.StringValue(by), wanted}, item, false}
	if least, _ := s.clock.correction(); until > 0 {
		r.Until = time.Unix(0, until).Add(-least) // It may be free later than this.
	}
	return r, err
}

func parseToken(token *value) (int64, error) {
	n, err := strconv.ParseInt(aws.StringValue(token.N), 10, 64)
	if err != nil || n < 0 || n > 1<<62-1 {
		return n, fmt.Errorf("%s %q is no number that a count of tenures reaches", tokenAttribute, aws.StringValue(token.N))
	}
	return n, nil
}

// parseUntil reads a number of DynamoDB's. What no clock reaches becomes the nearest that one does.
func parseUntil(until *value) (int64, error) {
	f, _, err := big.ParseFloat(aws.StringValue(until.N), 10, 128, big.ToNegativeInf)
	if err != nil {
		return 0, fmt.Errorf("%s %q is not a number", untilAttribute, aws.StringValue(until.N))
	}
	n, _ := f.Int64()
	return n, nil
}

// ListLeaseIDs returns the hash keys of all rows, in the scan's order, at half a read unit for each 4 KB of the table.
func (s *LockStore) ListLeaseIDs() ([]string, error) { return s.ListLeaseIDsWithContext(always) }

// ListLeaseIDsWithContext is [LockStore.ListLeaseIDs] with a context.
func (s *LockStore) ListLeaseIDsWithContext(ctx context.Context) ([]string, error) {
	ids := []string{}
	for after, more := "", true; more; more = after != "" {
		rows, next, err := s.page(ctx, after, 0, "#key")
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			ids = append(ids, *row[s.key].S)
		}
		after = next
	}
	return ids, nil
}

// ScanLeaseItems returns one page of the lease items: those that follow a place in the table's own order (any string of
// UTF-8; "" for the start), and next, where to go on, "" at the end. A page is 1 MB of rows, or limit rows if that is over 0
// and less, at half a read unit for each 4 KB. Rows that can't be leased, by their types, are left out and logged once.
func (s *LockStore) ScanLeaseItems(after string, limit int) (items []LeaseItem, next string, err error) {
	return s.ScanLeaseItemsWithContext(always, after, limit)
}

// ScanLeaseItemsWithContext is [LockStore.ScanLeaseItems] with a context.
func (s *LockStore) ScanLeaseItemsWithContext(ctx context.Context, after string, limit int) (_ []LeaseItem, next string, err error) {
	rows, next, err := s.page(ctx, after, limit, "#key, #holder, #until, #token, #wantedBy, #wantedUntil")
	if err != nil {
		return nil, "", err
	}
	items := make([]LeaseItem, 0, len(rows))
	for _, attributes := range rows {
		r, err := s.parse(*attributes[s.key].S, attributes)
		if err == nil {
			items = append(items, r.LeaseItem)
		} else if _, logged := s.skipped.LoadOrStore(r.LeaseID, true); !logged {
			logError("Lease Item Skipped", "lease_id", r.LeaseID, "error", err)
		}
	}
	return items, next, nil
}

// ParseLeaseItem returns what a row that the caller has read shows. The error says why no worker can lease it (an attribute
// of a wrong type, say); the LeaseItem then has what could be made out. It sends nothing.
func (s *LockStore) ParseLeaseItem(attributes map[string]*dynamodb.AttributeValue) (LeaseItem, error) {
	if err := s.check(always); err != nil {
		return LeaseItem{}, err
	}
	id := cmp.Or(attributes[s.key], zero).S
	if id == nil {
		return LeaseItem{}, rowError{fmt.Errorf("lease: a row of table %q has no hash key %q of type S (string)", s.table, s.key)}
	}
	r, err := s.parse(*id, attributes)
	return r.LeaseItem, err
}

// page sends one Scan. Every row it returns has a hash key of type string.
func (s *LockStore) page(ctx context.Context, after string, limit int, projection string) (rows []attributes, next string, err error) {
	if err = s.check(ctx); err != nil {
		return nil, "", err
	}
	in := &dynamodb.ScanInput{TableName: &s.table, ProjectionExpression: &projection, ExpressionAttributeNames: s.names(projection)}
	if after != "" {
		in.ExclusiveStartKey, err = attributes{s.key: text(after)}, checkName("place to scan from", after)
	}
	if limit > 0 {
		in.Limit = aws.Int64(int64(limit))
	}
	req, out := s.ScanRequest(in)
	if err == nil {
		_, err = s.send(ctx, req, "")
	}
	if err == nil {
		err = s.checkPage(ctx, out, after == "")
	}
	if err != nil {
		return nil, "", err
	}
	return out.Items, aws.StringValue(cmp.Or(out.LastEvaluatedKey[s.key], zero).S), nil
}
