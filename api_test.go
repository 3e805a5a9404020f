package lease_test

import (
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
)

// The documented API of the original library: that this compiles is the test.
var (
	_ *lease.LockStore = lease.GlobalLockStore
	_ error            = lease.LeaseNotObtainedError
	_ error            = lease.LeaseLostError

	_ func(*dynamodb.DynamoDB, string, string)                  = lease.SetupLockStoreGlobal
	_ func(lease.LeaseLogger)                                   = lease.SetLogger
	_ func(*dynamodb.DynamoDB, string, string) *lease.LockStore = lease.NewLockStore

	_ func(*lease.LockStore, string, lease.LeaseRequest, time.Time) (*lease.Lease, error) = (*lease.LockStore).Lease
	_ func(*lease.LockStore) ([]string, error)                                            = (*lease.LockStore).ListLeaseIDs

	_ func(*lease.Locker, lease.LeaseRequest) (*lease.Lease, error)       = (*lease.Locker).ObtainLease
	_ func(*lease.Locker, lease.LeaseRequest, time.Duration) *lease.Lease = (*lease.Locker).WaitUntilLeaseObtained
	_ func(*lease.Locker, *lease.Lease, time.Duration) error              = (*lease.Locker).Heartbeat
	_ *lease.Locker                                                       = lease.NewLocker(twoMethods{})
	_ *dynamodb.DynamoDB                                                  = lease.LockStore{}.DynamoDB
	_ lease.LeaseLogger                                                   = (*recorder)(nil)
	_                                                                     = lease.Lease{LeaseID: "", AttributeValues: row{}, Request: Worker{}, Until: time.Time{}}
	_ interface {
		LogInfoMessage(message string, keyvals ...interface{})
	} = lease.LeaseLogger(nil)
	_ interface {
		LogErrorMessage(message string, keyvals ...interface{})
	} = lease.LeaseLogger(nil)
	_ interface{ LesseeID() string }             = lease.LeaseRequest(nil)
	_ interface{ LeaseDuration() time.Duration } = lease.LeaseRequest(nil)
)

// twoMethods is a store of a caller's own.
type twoMethods struct{}

func (twoMethods) Lease(string, lease.LeaseRequest, time.Time) (*lease.Lease, error) {
	return nil, lease.LeaseNotObtainedError
}

func (twoMethods) ListLeaseIDs() ([]string, error) { return nil, nil }
