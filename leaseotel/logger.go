package leaseotel

import (
	"context"
	"log/slog"
	"slices"

	"go.opentelemetry.io/otel/trace"

	"github.com/intercom/lease"
)

// Logger returns a logger for [lease.SetLogger] that adds trace_id and span_id to the lines
// about a tenure that has a span, or had one until 10 seconds ago, and hands all on to next. A
// nil next is [slog.Default], with information at level Debug, and the span in the context of
// the record: what the package does by itself. Details go to next if it takes any, see
// [lease.SetLogger].
func (t *Telemetry) Logger(next lease.LeaseLogger) lease.LeaseLogger {
	if next == nil {
		return slogger{t}
	}
	return logger{telemetry: t, next: next}
}

// logger is one that adds to the lines of another.
type logger struct {
	telemetry *Telemetry
	next      lease.LeaseLogger
}

func (l logger) LogInfoMessage(message string, keyvals ...any) {
	l.next.LogInfoMessage(message, l.traced(keyvals)...)
}

func (l logger) LogErrorMessage(message string, keyvals ...any) {
	l.next.LogErrorMessage(message, l.traced(keyvals)...)
}

// LogDebugMessage makes it a logger that takes details.
func (l logger) LogDebugMessage(message string, keyvals ...any) {
	detailed, isDetailed := l.next.(interface {
		LogDebugMessage(message string, keyvals ...any)
	})
	if isDetailed {
		detailed.LogDebugMessage(message, l.traced(keyvals)...)
	}
}

func (l logger) traced(keyvals []any) []any {
	return withIDs(keyvals, l.telemetry.spanOf(keyvals))
}

// slogger is one that logs by slog.
type slogger struct{ telemetry *Telemetry }

func (l slogger) LogInfoMessage(message string, keyvals ...any) {
	l.log(slog.LevelDebug, message, keyvals)
}

func (l slogger) LogErrorMessage(message string, keyvals ...any) {
	l.log(slog.LevelError, message, keyvals)
}

// LogDebugMessage makes it a logger that takes details.
func (l slogger) LogDebugMessage(message string, keyvals ...any) {
	l.log(slog.LevelDebug, message, keyvals)
}

func (l slogger) log(level slog.Level, message string, keyvals []any) {
	span := l.telemetry.spanOf(keyvals)
	ctx := trace.ContextWithSpanContext(context.Background(), span)
	slog.Default().Log(ctx, level, message, withIDs(keyvals, span)...)
}

// withIDs adds the IDs of a span, if it is one.
func withIDs(keyvals []any, span trace.SpanContext) []any {
	if !span.IsValid() {
		return keyvals
	}
	return append(slices.Clip(keyvals),
		"trace_id", span.TraceID().String(), "span_id", span.SpanID().String())
}

// spanOf is that of the tenure that a line is about; none if it has none.
func (t *Telemetry) spanOf(keyvals []any) (none trace.SpanContext) {
	who, token := namedIn(keyvals)
	if who.leaseID == "" || len(t.observed()) == 0 {
		return none
	}
	of := t.tenures.ofLine(who, token)
	if of == nil {
		return none
	}
	return of.span.SpanContext()
}

// namedIn returns what a line says of whose tenure it is about.
func namedIn(keyvals []any) (who holding, token int64) {
	for i := 0; i+1 < len(keyvals); i += 2 {
		switch keyvals[i] {
		case "lease_id":
			who.leaseID, _ = keyvals[i+1].(string)
		case "lessee_id":
			who.lessee, _ = keyvals[i+1].(string)
		case "fencing_token":
			token, _ = keyvals[i+1].(int64)
		}
	}
	return who, token
}
