package lease

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// ListLeaseIDs returns the hash keys of all rows, in the scan's order, at half a read
// unit for each 4 KB of the table.
func (s *LockStore) ListLeaseIDs() ([]string, error) { return s.ListLeaseIDsWithContext(always) }

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
		if next == "" {
			return ids, nil
		}
		after = next
	}
}

// ScanLeaseItems returns one page of the lease items: those that follow a place in the
// table's own order (any string of UTF-8; "" for the start), and next, where to go on,
// "" at the end. A page is 1 MB of rows, or limit rows if that is over 0 and less, at
// half a read unit for each 4 KB. Rows that can't be leased, by their types, are left
// out and logged once.
func (s *LockStore) ScanLeaseItems(
	after string, limit int,
) (items []LeaseItem, next string, err error) {
	return s.ScanLeaseItemsWithContext(always, after, limit)
}

// ScanLeaseItemsWithContext is [LockStore.ScanLeaseItems] with a context.
func (s *LockStore) ScanLeaseItemsWithContext(
	ctx context.Context, after string, limit int,
) (items []LeaseItem, next string, err error) {
	rows, next, err := s.page(ctx, after, limit, ownProjection)
	if err != nil {
		return nil, "", err
	}

	// If its request spanned a step of this host's clock, the page has taught nothing.
	if _, err := s.past(ctx); err != nil {
		return nil, "", err
	}
	items = make([]LeaseItem, 0, len(rows))
	for _, attributes := range rows {
		row, err := s.parse(*attributes[s.key].S, attributes)
		if err != nil {
			s.skip(row.LeaseID, err)
			continue
		}
		items = append(items, row.LeaseItem)
	}
	return items, next, nil
}

// ownProjection is of what a LeaseItem shows.
const ownProjection = "#key, #holder, #until, #token, #wantedBy, #wantedUntil, #weight, #capacity"

// skip logs a row that can't be leased, once.
func (s *LockStore) skip(leaseID string, err error) {
	if _, isLogged := s.skipped.LoadOrStore(leaseID, true); !isLogged {
		logError("Lease Item Skipped", "lease_id", leaseID, "error", err)
	}
}

// ParseLeaseItem returns what a row that the caller has read shows. The error says why
// no worker can lease it (an attribute of a wrong type, say); the LeaseItem then has
// what could be made out. It sends nothing.
func (s *LockStore) ParseLeaseItem(
	attributes map[string]*dynamodb.AttributeValue,
) (LeaseItem, error) {
	if err := s.check(always); err != nil {
		return LeaseItem{}, err
	}
	id, isString := s.keyOf(attributes)
	if !isString {
		err := fmt.Errorf("lease: a row of table %q has no hash key %q of type S (string)", s.table, s.key)
		return LeaseItem{}, rowError{err}
	}
	row, err := s.parse(id, attributes)
	return row.LeaseItem, err
}

// keyOf returns the hash key of a row, if it is a string.
func (s *LockStore) keyOf(row attributes) (id string, isString bool) {
	key := row[s.key]
	if key == nil || key.S == nil {
		return "", false
	}
	return *key.S, true
}

// page sends one Scan. Every row it returns has a hash key of type string.
func (s *LockStore) page(
	ctx context.Context, after string, limit int, projection string,
) (rows []attributes, next string, err error) {
	if err := s.check(ctx); err != nil {
		return nil, "", err
	}
	in := &dynamodb.ScanInput{
		TableName:                &s.table,
		ProjectionExpression:     &projection,
		ExpressionAttributeNames: s.names(projection),
	}
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
	if _, err := s.send(ctx, req, ""); err != nil {
		return nil, "", err
	}
	if isEmpty := out.Items == nil && out.Count == nil; isEmpty {
		return nil, "", s.showsNothing(ctx, req, "")
	}
	if err := s.checkPage(ctx, out, after == ""); err != nil {
		return nil, "", err
	}
	next, _ = s.keyOf(out.LastEvaluatedKey)
	return out.Items, next, nil
}
