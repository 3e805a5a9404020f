package lease

import (
	"errors"
	"log/slog"
	"sync/atomic"

	"github.com/aws/aws-sdk-go/aws/awserr"
)

// LeaseLogger takes the package's log events: a message and, after it, keys and values
// in turn. Its methods are called from many goroutines at once, should return soon, and
// must not release the lease that their event is about.
type LeaseLogger interface {
	LogInfoMessage(message string, keyvals ...interface{})
	LogErrorMessage(message string, keyvals ...interface{})
}

// detailLogger is a LeaseLogger that takes details too: in an outage, each failure that no
// error event tells of.
type detailLogger interface {
	LogDebugMessage(message string, keyvals ...interface{})
}

// current is nil before SetLogger. After that it may point to a nil LeaseLogger.
var current atomic.Pointer[LeaseLogger]

// SetLogger replaces the package's logger, which is [slog.Default], with information at
// level Debug; nil makes it silent. It may be called at any time.
//
// An outage is told of when it begins, each 10 seconds or more, and when it is over. The
// failures in between are details: the default logs them at level Debug, another logger
// gets them if it has a method LogDebugMessage, like the other two.
func SetLogger(logger LeaseLogger) { current.Store(&logger) }

func logInfo(message string, keyvals ...any) {
	logger := current.Load()
	if logger == nil {
		slog.Debug(message, keyvals...)
		return
	}
	if *logger != nil {
		(*logger).LogInfoMessage(message, keyvals...)
	}
}

func logError(message string, keyvals ...any) {
	logger := current.Load()
	if logger == nil {
		slog.Error(message, keyvals...)
		return
	}
	if *logger != nil {
		(*logger).LogErrorMessage(message, keyvals...)
	}
}

// logDetail logs what an error event of a Locker stands for.
func logDetail(message string, keyvals ...any) {
	logger := current.Load()
	if logger == nil {
		slog.Debug(message, keyvals...)
		return
	}
	if detailed, isDetailed := (*logger).(detailLogger); isDetailed {
		detailed.LogDebugMessage(message, keyvals...)
	}
}

// logFailure logs an error in the words of the original, unless the LockStore did, or
// it only says who has an item.
func logFailure(err error, keyvals ...any) {
	switch err {
	case nil, LeaseLostError:
		return
	}
	if errors.Is(err, LeaseNotObtainedError) {
		return
	}
	if isLogged(err) {
		return
	}
	logError("AWS Error", append(describe(err), keyvals...)...)
}

// isLogged tells that the LockStore has logged an error.
func isLogged(err error) bool {
	var ours *requestError
	return errors.As(err, &ours) && ours.logged
}

// describe returns the keys and values that tell of an error.
func describe(err error) []any {
	var failure awserr.RequestFailure
	if errors.As(err, &failure) && failure.StatusCode() != 0 {
		return []any{
			"Code", failure.Code(),
			"AWSMessage", failure.Message(),
			"StatusCode", failure.StatusCode(),
			"DDBRequestID", failure.RequestID(),
		}
	}
	var sdk awserr.Error
	if errors.As(err, &sdk) {
		return []any{
			"Code", sdk.Code(),
			"AWSMessage", sdk.Message(),
			"OriginalError", sdk.OrigErr(),
		}
	}
	return []any{"error", err}
}
