package leasetest

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
)

func checkContext(ctx context.Context) error {
	if ctx == nil {
		return errors.New("leasetest: the context is nil")
	}
	return nil
}

func checkName(what, name string) error {
	const most = 2048 // bytes, as in DynamoDB
	if name == "" {
		return fmt.Errorf("leasetest: the %s is empty", what)
	}
	if !utf8.ValidString(name) {
		return fmt.Errorf("leasetest: the %s %q is not valid UTF-8", what, name)
	}
	if len(name) > most {
		return fmt.Errorf("leasetest: the %s %q… has %d bytes; want at most %d",
			what, name[:32], len(name), most)
	}
	return nil
}

func checkRequest(request lease.LeaseRequest) error {
	if isNil(request) {
		return errors.New("leasetest: the LeaseRequest is nil")
	}
	if err := checkName("LesseeID", request.LesseeID()); err != nil {
		return err
	}
	if err := checkDuration(request.LeaseDuration()); err != nil {
		return err
	}
	return checkCapacity(capacityOf(request))
}

// capacityOf returns the capacity of a request's worker: 1, if it says none.
func capacityOf(request lease.LeaseRequest) float64 {
	says, isSaid := request.(interface{ LeaseCapacity() float64 })
	if !isSaid {
		return 1
	}
	return says.LeaseCapacity()
}

func checkCapacity(capacity float64) error {
	const least = 1e-9
	const most = 1e9
	isWithin := capacity >= least && capacity <= most // NaN is not
	if isWithin {
		return nil
	}
	return fmt.Errorf("leasetest: LeaseCapacity is %v; want a number from %v to %v",
		capacity, least, most)
}

// isNil tells whether there is no request, or a nil pointer in its place.
func isNil(request lease.LeaseRequest) bool {
	if request == nil {
		return true
	}
	v := reflect.ValueOf(request)
	return v.Kind() == reflect.Pointer && v.IsNil()
}

func checkDuration(duration time.Duration) error {
	const least = time.Millisecond
	const most = 100 * 365 * 24 * time.Hour
	if duration < least {
		return fmt.Errorf("leasetest: LeaseDuration is %v; want a millisecond or more", duration)
	}
	if duration > most {
		return fmt.Errorf("leasetest: LeaseDuration is %v; "+
			"want at most 100 years, as a lease's end lies between 1970 and 2262", duration)
	}
	return nil
}

func checkUntil(until time.Time) error {
	year := until.UTC().Year()
	if year < 1970 || year >= 2262 {
		return fmt.Errorf("leasetest: the lease's end %v is not between 1970 and 2262",
			until.Round(0))
	}
	return nil
}

// checkLeasing checks the input of a call that leases an item.
func checkLeasing(
	ctx context.Context, leaseID string, request lease.LeaseRequest, until time.Time,
) error {
	if err := checkContext(ctx); err != nil {
		return err
	}
	if err := checkName("lease ID", leaseID); err != nil {
		return err
	}
	if err := checkRequest(request); err != nil {
		return err
	}
	return checkUntil(until)
}

// checkTenure checks the input of a call by a lease's tenure.
func checkTenure(ctx context.Context, l *lease.Lease) error {
	if err := checkContext(ctx); err != nil {
		return err
	}
	if l == nil {
		return errors.New("leasetest: the Lease is nil")
	}
	if err := checkName("lease ID", l.LeaseID); err != nil {
		return err
	}
	return checkRequest(l.Request)
}

// checkMoving is checkTenure of a call that moves the row's end.
func checkMoving(ctx context.Context, l *lease.Lease, until time.Time) error {
	if err := checkTenure(ctx, l); err != nil {
		return err
	}
	return checkUntil(until)
}

// checkAttributes tells what is wrong with the attributes to register an item with.
func checkAttributes(leaseID string, attributes map[string]*dynamodb.AttributeValue) error {
	for name, value := range attributes {
		if err := checkAttribute(leaseID, name, value); err != nil {
			return err
		}
	}
	return nil
}

func checkAttribute(leaseID, name string, value *dynamodb.AttributeValue) error {
	// The token and the weight are the library's, but an item may be registered with them.
	isGiven := name == tokenAttribute || name == weightAttribute
	if !isGiven {
		if err := checkAttributeName(leaseID, name); err != nil {
			return err
		}
	}
	if value == nil {
		return fmt.Errorf("leasetest: the attribute %q of lease ID %q is nil", name, leaseID)
	}
	if err := givenError(name, value); err != nil {
		return fmt.Errorf("leasetest: the attribute %q of lease ID %q is no good: %w",
			name, leaseID, err)
	}
	return nil
}

// givenError tells what is wrong with the value of an attribute that an item is registered
// with.
func givenError(name string, value *dynamodb.AttributeValue) error {
	if name == tokenAttribute {
		_, err := parseToken(value)
		return err
	}
	if err := valueError(value); err != nil {
		return err
	}
	if name == weightAttribute {
		return weightError(value)
	}
	return nil
}

func weightError(value *dynamodb.AttributeValue) error {
	if value.N == nil {
		return errors.New("it is not a number")
	}
	if rational(*value.N).Sign() <= 0 {
		return fmt.Errorf("%s is not above 0", *value.N)
	}
	return nil
}

func checkAttributeName(leaseID, name string) error {
	switch name {
	case HashKey, holderAttribute, untilAttribute, tokenAttribute, wantedBy, wantedUntil,
		weightAttribute, capacityAttribute:
		return fmt.Errorf("leasetest: the attribute %q of lease ID %q is the library's to write",
			name, leaseID)
	case "":
		return fmt.Errorf("leasetest: an attribute of lease ID %q has an empty name", leaseID)
	}
	const longest = 65535 // bytes, as in DynamoDB
	if len(name) > longest {
		return fmt.Errorf("leasetest: an attribute of lease ID %q has a name of %d bytes; "+
			"want at most %d", leaseID, len(name), longest)
	}
	if !utf8.ValidString(name) {
		return fmt.Errorf("leasetest: the attribute %q of lease ID %q has a name that is "+
			"not valid UTF-8", name, leaseID)
	}
	return nil
}

func parseToken(value *dynamodb.AttributeValue) (int64, error) {
	if value.N == nil {
		return 0, errors.New("it is not a number")
	}
	const most = 1 << 53
	const bits = 128 // for the 38 digits that DynamoDB keeps
	exact, _, err := big.ParseFloat(*value.N, 10, bits, big.ToNegativeInf)
	if err == nil && exact.IsInt() { // as 1.8E12 is
		token, accuracy := exact.Int64()
		isCount := accuracy == big.Exact && token >= 0 && token <= most
		if isCount {
			return token, nil
		}
	}
	return 0, fmt.Errorf("%s is not a whole number from 0 to %d", *value.N, int64(most))
}
