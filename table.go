package lease

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// EnsureTable makes the store's table, with on-demand billing, unless it is there, and
// blocks until it is active. A table that is there is left as it is; if it doesn't fit,
// the error says how. Any number of processes may call it at once.
func (s *LockStore) EnsureTable() error { return s.EnsureTableWithContext(always) }

// EnsureTableWithContext is [LockStore.EnsureTable] with a context.
func (s *LockStore) EnsureTableWithContext(ctx context.Context) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	const longest = time.Second
	wait := time.Duration(0)
	for {
		if aws.SleepWithContext(ctx, wait) != nil {
			return fmt.Errorf("lease: table %q did not become active: %w", s.table, contextError(ctx))
		}
		table, err := s.describeTable(ctx)
		if err == nil && aws.StringValue(table.TableStatus) == dynamodb.TableStatusActive {
			return s.checkTable(table)
		}
		if errorCode(err) == dynamodb.ErrCodeResourceNotFoundException {
			err = s.createTable(ctx)
		}
		isMadeByAnother := errorCode(err) == dynamodb.ErrCodeResourceInUseException
		if err != nil && !isMadeByAnother {
			return err
		}
		wait = min(4*wait+20*time.Millisecond, longest)
	}
}

func (s *LockStore) describeTable(ctx context.Context) (*dynamodb.TableDescription, error) {
	req, out := s.DescribeTableRequest(&dynamodb.DescribeTableInput{TableName: &s.table})
	_, err := s.send(ctx, req, "")
	if err == nil && out.Table == nil {
		err = s.showsNothing(ctx, req, "")
	}
	return out.Table, err
}

func (s *LockStore) createTable(ctx context.Context) error {
	req, _ := s.CreateTableRequest(&dynamodb.CreateTableInput{
		TableName:   &s.table,
		BillingMode: aws.String(dynamodb.BillingModePayPerRequest),
		AttributeDefinitions: []*dynamodb.AttributeDefinition{{
			AttributeName: &s.key,
			AttributeType: aws.String(dynamodb.ScalarAttributeTypeS),
		}},
		KeySchema: []*dynamodb.KeySchemaElement{{
			AttributeName: &s.key,
			KeyType:       aws.String(dynamodb.KeyTypeHash),
		}},
	})
	_, err := s.send(ctx, req, "")
	return err
}

func (s *LockStore) checkTable(table *dynamodb.TableDescription) error {
	for _, element := range table.KeySchema {
		name := *element.AttributeName
		if *element.KeyType != dynamodb.KeyTypeHash {
			return setupf("lease: table %q has the sort key %q; lease items have a hash key only", s.table, name)
		}
		if name != s.key {
			return setupf("lease: table %q has the hash key %q; want %q", s.table, name, s.key)
		}
	}
	for _, definition := range table.AttributeDefinitions {
		if *definition.AttributeName != s.key {
			continue
		}
		if got := *definition.AttributeType; got != dynamodb.ScalarAttributeTypeS {
			return setupf("lease: table %q has the hash key %q of type %s; want S (string)", s.table, s.key, got)
		}
	}
	return nil
}

// checkPage asks for the description of a table whose page looks odd, or is empty
// (once). Getting none is no error.
func (s *LockStore) checkPage(ctx context.Context, page *dynamodb.ScanOutput, isFirst bool) error {
	isOdd := s.isOdd(page)
	isEmpty := isFirst && len(page.Items) == 0
	isNew := isEmpty && !s.described.Load()
	if !isNew && !isOdd {
		return nil
	}
	err := s.checkDescription(ctx, isOdd)
	s.described.Store(err == nil && ctx.Err() == nil)
	return err
}

// isOdd tells of a page that no table of lease items has: rows without the key, or with
// a sort key.
func (s *LockStore) isOdd(page *dynamodb.ScanOutput) bool {
	if len(page.LastEvaluatedKey) > 1 {
		return true
	}
	last := ""
	for _, row := range page.Items {
		id, isString := s.keyOf(row)
		if !isString || id == last {
			return true
		}
		last = id
	}
	return false
}

// misfitOr returns what is wrong with the table, if the error of a read of one item is that
// the table has another key.
func (s *LockStore) misfitOr(ctx context.Context, err error) error {
	if errorCode(err) != "ValidationException" {
		return err
	}
	return firstOf(s.checkDescription(ctx, false), err)
}

// checkDescription asks without a word to the log: the permission may be missing.
func (s *LockStore) checkDescription(ctx context.Context, isOdd bool) error {
	out, err := s.DescribeTableWithContext(ctx, &dynamodb.DescribeTableInput{TableName: &s.table})
	if err == nil && out.Table != nil {
		return s.checkTable(out.Table)
	}
	if isOdd {
		return setupf("lease: table %q has rows without a hash key %q of type S (string), or with a sort key",
			s.table, s.key)
	}
	return nil
}
