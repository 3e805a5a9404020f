package lease

import (
	"errors"
	"log/slog"
	"sync/atomic"

	"github.com/aws/aws-sdk-go/aws/awserr"
)

// LeaseLogger takes the package's log events: a message and, after it, keys and values in turn.
// Its methods are called from many goroutines at once and should return soon.
type LeaseLogger interface {
	LogInfoMessage(message string, keyvals ...interface{})
	LogErrorMessage(message string, keyvals ...interface{})
}

// current holds the logger: nil before SetLogger, and then perhaps a pointer to a nil logger.
var current atomic.Pointer[LeaseLogger]

// SetLogger replaces the logger of the whole package; nil makes it silent. Before the first call,
// errors go to [slog.Default] at level Error and information at level Debug, so that a worker that
// waits in vain says why. It may be called at any time and from any goroutine.
func SetLogger(logger LeaseLogger) { current.Store(&logger) }

func logInfo(message string, keyvals ...interface{}) {
	switch logger := current.Load(); {
	case logger == nil:
		slog.Debug(message, keyvals...)
	case *logger != nil:
		(*logger).LogInfoMessage(message, keyvals...)
	}
}

func logError(message string, keyvals ...interface{}) {
	switch logger := current.Load(); {
	case logger == nil:
		slog.Error(message, keyvals...)
	case *logger != nil:
		(*logger).LogErrorMessage(message, keyvals...)
	}
}

// logFailure logs a request's error in the words of the original library, further keys after them, unless
// the LockStore that it comes from did. That an item was not obtained is no error.
func logFailure(err error, keyvals ...interface{}) {
	var ours *requestError
	var failure awserr.RequestFailure
	var sdk awserr.Error
	event := []interface{}{"error", err}
	switch {
	case errors.As(err, &ours) && ours.logged, err == LeaseNotObtainedError:
		return
	case errors.As(err, &failure) && failure.StatusCode() != 0:
		event = []interface{}{"Code", failure.Code(), "AWSMessage", failure.Message(),
			"StatusCode", failure.StatusCode(), "DDBRequestID", failure.RequestID()}
	case errors.As(err, &sdk):
		event = []interface{}{"Code", sdk.Code(), "AWSMessage", sdk.Message(), "OriginalError", sdk.OrigErr()}
	}
	logError("AWS Error", append(event, keyvals...)...)
}
