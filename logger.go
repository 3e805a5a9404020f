package lease

import (
	"errors"
	"log/slog"
	"sync/atomic"

	"github.com/aws/aws-sdk-go/aws/awserr"
)

// LeaseLogger takes the package's log events: a message and, after it, keys and values in turn. Its methods are
// called from many goroutines at once, should return soon, and must not release the lease that their event is about.
type LeaseLogger interface {
	LogInfoMessage(message string, keyvals ...interface{})
	LogErrorMessage(message string, keyvals ...interface{})
}

var current atomic.Pointer[LeaseLogger] // nil before SetLogger, and then perhaps a pointer to a nil logger

// SetLogger replaces the package's logger, which is [slog.Default], with information at level Debug; nil makes it silent.
func SetLogger(logger LeaseLogger) { current.Store(&logger) }

func logInfo(msg string, kv ...any)  { emit(LeaseLogger.LogInfoMessage, slog.Debug, msg, kv) }
func logError(msg string, kv ...any) { emit(LeaseLogger.LogErrorMessage, slog.Error, msg, kv) }

func emit(ours func(LeaseLogger, string, ...any), standard func(string, ...any), msg string, kv []any) {
	if logger := current.Load(); logger == nil {
		standard(msg, kv...)
	} else if *logger != nil {
		ours(*logger, msg, kv...)
	}
}

// logFailure logs an error in the words of the original, unless the LockStore did, or it only says who has an item.
func logFailure(err error, keyvals ...any) {
	var ours *requestError
	var failure awserr.RequestFailure
	var sdk awserr.Error
	if errors.As(err, &ours) && ours.logged || err == nil || errors.Is(err, LeaseNotObtainedError) || err == LeaseLostError {
		return
	}
	event := []any{"error", err}
	if errors.As(err, &failure) && failure.StatusCode() != 0 {
		event = []any{"Code", failure.Code(), "AWSMessage", failure.Message(),
			"StatusCode", failure.StatusCode(), "DDBRequestID", failure.RequestID()}
	} else if errors.As(err, &sdk) {
		event = []any{"Code", sdk.Code(), "AWSMessage", sdk.Message(), "OriginalError", sdk.OrigErr()}
	}
	logError("AWS Error", append(event, keyvals...)...)
}
