package leaseotel

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/intercom/lease"
)

// The attributes of spans and metrics that are this package's own.
const (
	itemKey     = attribute.Key("lease.item")
	lesseeKey   = attribute.Key("lease.lessee")
	tokenKey    = attribute.Key("lease.fencing_token")
	wantedByKey = attribute.Key("lease.wanted_by")
	requestKey  = attribute.Key("lease.request.name")
	endKey      = attribute.Key("lease.tenure.end")
	renewalsKey = attribute.Key("lease.tenure.renewals")
	failuresKey = attribute.Key("lease.tenure.failed_renewals")
)

// holding is the name of a tenure: who has what.
type holding struct {
	leaseID string
	lessee  string
}

// tenure is one that has a span. The mutex of tenures guards what changes. Its methods ask no
// clock.
type tenure struct {
	holding
	token int64 // with which it began; 0: the store gives none
	begun time.Time
	span  trace.Span

	lastToken  int64 // it grows where renewing is leasing anew
	isObtained bool  // a Locker has told that it began
	isKnown    bool  // or its work has asked for it; else only a line of the log speaks of it
	isLinked   bool  // to the span of who called Hold
	renewals   int
	failures   int // of renewals
	notes      int // how many events its span has

	phase  phase
	ending ending      // as it is known by now; of one that isn't open
	timer  *time.Timer // of what is next, if nothing more is told; nil: nothing is
}

// phase is where a span stands.
type phase int

const (
	open     phase = iota // the tenure goes on
	settling              // it is over, and what becomes of the row is to be told yet
	closing               // nothing is to be added to the span, which ends just now
	closed                // it has ended
)

// ending is how a tenure has ended.
type ending struct {
	how string // the value of lease.tenure.end
	err error  // nil: in order
	at  time.Time
}

// The values of lease.tenure.end.
const (
	endReleased   = "released"
	endHandedOver = "handed_over"
	endGivenUp    = "given_up" // and the Locker hasn't freed the row
	endLost       = "lost"
	endExpired    = "expired"
	endStuck      = "stuck"
	endUntold     = "untold"   // the events were too many, and its end was left out
	endShutdown   = "shutdown" // it goes on, but the Telemetry was shut down
)

// endingOf is that of a tenure whose context is done by that cause.
func endingOf(cause error, at time.Time) ending {
	switch cause {
	case lease.LeaseExpiredError:
		return ending{how: endExpired, err: cause, at: at}
	case lease.LeaseLostError:
		return ending{how: endLost, err: cause, at: at}
	case lease.LeaseStuckError:
		return ending{how: endStuck, err: cause, at: at}
	}
	return ending{how: endGivenUp, at: at}
}

// has tells that an event with that token, or 0, may be of the tenure.
func (t *tenure) has(who holding, token int64) bool {
	return t.holding == who && (token == 0 || token >= t.token)
}

// isOfToken tells that the tenure is known to have, or to have had, that token.
func (t *tenure) isOfToken(token int64) bool {
	return t.token <= token && token <= t.lastToken
}

// isEnding tells that nothing more is to be added to the span.
func (t *tenure) isEnding() bool { return t.phase >= closing }

// follow changes the tenure by an event, and tells whether its span is to have that.
func (t *tenure) follow(e lease.Event) (isToNote bool) {
	const mostNotes = 100 // An outage may be long. The counts go on.
	switch e.Kind {
	case lease.EventRenewed:
		t.renewals++
		t.lastToken = max(t.lastToken, e.FencingToken)
		return false
	case lease.EventRenewalFailed:
		t.failures++
	case lease.EventGivenUp, lease.EventStuck:
		t.phase = settling
		t.ending = endingOf(e.Err, e.At)
	case lease.EventLost, lease.EventExpired:
		t.phase = closing
		t.ending = endingOf(e.Err, e.At)
	case lease.EventReleased:
		t.freed(endReleased, e.At)
	case lease.EventHandedOver:
		t.freed(endHandedOver, e.At)
	case lease.EventWriteFailed:
		t.writeFailed(e)
	}
	t.notes++
	return t.notes <= mostNotes || t.phase != open
}

// freed notes that the row was freed.
func (t *tenure) freed(how string, at time.Time) {
	if t.ending.how != endStuck {
		t.ending.how = how
	}
	t.ending.at = at
	t.phase = closing
}

// writeFailed notes that the row wasn't freed, if that is what failed.
func (t *tenure) writeFailed(e lease.Event) {
	isRelease := e.Request == "release" || e.Request == "handover"
	if t.phase != settling || !isRelease {
		return
	}
	if t.ending.err == nil {
		t.ending.err = e.Err
	}
	t.ending.at = e.At
	t.phase = closing
}

// eventNames are those of the events that a span can have.
var eventNames = map[lease.EventKind]string{
	lease.EventRenewalFailed: "lease.renewal_failed",
	lease.EventWanted:        "lease.wanted",
	lease.EventGivenUp:       "lease.given_up",
	lease.EventReleased:      "lease.released",
	lease.EventHandedOver:    "lease.handed_over",
	lease.EventLost:          "lease.lost",
	lease.EventExpired:       "lease.expired",
	lease.EventStuck:         "lease.stuck",
	lease.EventWriteFailed:   "lease.write_failed",
}

// note adds an event to the span.
func (t *tenure) note(e lease.Event) {
	attributes := trace.WithAttributes(attributesOf(e)...)
	t.span.AddEvent(eventNames[e.Kind], trace.WithTimestamp(e.At), attributes)
}

// attributesOf are those of an event of a span.
func attributesOf(e lease.Event) (all []attribute.KeyValue) {
	switch e.Kind {
	case lease.EventWanted, lease.EventHandedOver:
		all = append(all, wantedByKey.String(e.WantedBy))
	}
	if e.Request != "" {
		all = append(all, requestKey.String(e.Request))
	}
	if e.Err != nil {
		all = append(all, errorType(e.Err), semconv.ExceptionMessage(e.Err.Error()))
	}
	return all
}

// end ends the span.
func (t *tenure) end() {
	t.span.SetAttributes(
		endKey.String(t.ending.how),
		renewalsKey.Int(t.renewals),
		failuresKey.Int(t.failures),
	)
	if t.ending.err != nil {
		t.span.SetAttributes(errorType(t.ending.err))
		t.span.SetStatus(codes.Error, t.ending.err.Error())
	}
	t.span.End(trace.WithTimestamp(t.ending.at))
}

type tenureKey struct{}

// contextOf returns ctx with a tenure, and its span, in it.
func contextOf(ctx context.Context, of *tenure) context.Context {
	return trace.ContextWithSpan(context.WithValue(ctx, tenureKey{}, of), of.span)
}

// isInTenure tells that a context comes from contextOf.
func isInTenure(ctx context.Context) bool { return ctx.Value(tenureKey{}) != nil }
