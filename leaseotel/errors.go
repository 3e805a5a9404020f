package leaseotel

import (
	"context"
	"errors"
	"net"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/intercom/lease"
)

// errorType is the attribute error.type of an error: one of a few values. That of the SDK is its
// code.
func errorType(err error) attribute.KeyValue {
	return semconv.ErrorTypeKey.String(typeOf(err))
}

func typeOf(err error) string {
	var sdk awserr.Error
	if errors.As(err, &sdk) {
		return sdk.Code()
	}
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		return "timeout"
	}
	for _, known := range knownErrors {
		if errors.Is(err, known.error) {
			return known.name
		}
	}
	return semconv.ErrorTypeOther.Value.AsString()
}

// knownErrors are those that are told apart. The first that fits counts.
var knownErrors = []struct {
	error
	name string
}{
	{lease.LeaseExpiredError, "lease_expired"},
	{lease.LeaseLostError, "lease_lost"},
	{lease.LeaseStuckError, "lease_stuck"},
	{lease.LeaseIDUnknownError, "lease_id_unknown"},
	{context.Canceled, "canceled"},
}
