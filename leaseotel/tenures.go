package leaseotel

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/intercom/lease"
)

const (
	// settleWithin is for how long to wait to be told what becomes of a row: a release takes
	// 10 seconds at most, and observers may be behind.
	settleWithin = 15 * time.Second
	// afterglow is for how long a tenure is known whose span has ended: a line of the log about
	// its end may come later than the event.
	afterglow = 10 * time.Second
)

// tenures are those that have a span. What becomes of a span is decided with the mutex held,
// and done without it: whoever exports spans may take long.
type tenures struct {
	tracer     trace.Tracer
	attributes []attribute.KeyValue
	measured   *measured

	mu        sync.Mutex
	byItem    map[string][]*tenure // in the order in which they began
	unclosed  int                  // how many spans have not ended
	crowd     int                  // at how many to look for those whose end was left out
	isClosed  bool                 // there are to be no more
	hasClosed chan struct{}        // is closed, and replaced, when a span has ended
}

func newTenures(
	tracer trace.Tracer, attributes []attribute.KeyValue, measured *measured,
) *tenures {
	return &tenures{
		tracer:     tracer,
		attributes: attributes,
		measured:   measured,
		byItem:     make(map[string][]*tenure),
		crowd:      leastCrowd,
		hasClosed:  make(chan struct{}),
	}
}

// leastCrowd is how many spans are never too many.
const leastCrowd = 64

// told follows an event. There may then be more open spans than there were ever leases: the
// caller is to sweep.
func (ts *tenures) told(e lease.Event) (isCrowded bool) {
	who := holding{leaseID: e.LeaseID, lessee: e.LesseeID}
	switch e.Kind {
	case lease.EventObtained:
		return ts.obtained(who, e)
	case lease.EventLooked, lease.EventLookFailed:
		return false
	}
	isOfNoTenure := e.Kind == lease.EventWriteFailed && e.FencingToken == 0 // A wish, say.
	if !isOfNoTenure {
		ts.follow(who, e)
	}
	return false
}

// obtained begins a span, unless the tenure has one already.
func (ts *tenures) obtained(who holding, e lease.Event) (isCrowded bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	of := ts.unobtained(who, e.FencingToken)
	if of == nil {
		of = ts.begin(who, e.FencingToken, e.At)
	}
	if of == nil {
		return false
	}
	of.isObtained = true
	ts.know(of)
	return ts.unclosed >= ts.crowd
}

// unobtained returns the tenure that was begun before its Locker told of it; nil if none was.
// The mutex is held.
func (ts *tenures) unobtained(who holding, token int64) *tenure {
	for _, of := range ts.byItem[who.leaseID] {
		isSame := of.holding == who && of.token == token
		if isSame && !of.isObtained {
			return of
		}
	}
	return nil
}

// begin begins a span; or returns nil, if there are to be no more. The mutex is held.
func (ts *tenures) begin(who holding, token int64, at time.Time) *tenure {
	if ts.isClosed {
		return nil
	}
	_, span := ts.tracer.Start(context.Background(), "lease tenure",
		trace.WithTimestamp(at),
		trace.WithAttributes(ts.attributes...),
		trace.WithAttributes(
			itemKey.String(who.leaseID),
			lesseeKey.String(who.lessee),
			tokenKey.Int64(token),
		))
	of := &tenure{
		holding:   who,
		token:     token,
		lastToken: token,
		begun:     at,
		span:      span,
	}
	ts.byItem[who.leaseID] = append(ts.byItem[who.leaseID], of)
	ts.unclosed++
	return of
}

// know notes that there is such a tenure, and tells whether that is new. The mutex is held.
func (ts *tenures) know(of *tenure) (isNew bool) {
	if of.isKnown {
		return false
	}
	of.isKnown = true
	return true
}

// follow changes the tenure that an event is about, and its span.
func (ts *tenures) follow(who holding, e lease.Event) {
	ts.mu.Lock()
	of := ts.last(who, e.FencingToken)
	if of == nil || of.isEnding() {
		ts.mu.Unlock()
		return
	}
	ts.know(of)
	isToNote := of.follow(e)
	if of.phase == settling {
		ts.setTimer(of, settleWithin, ts.settle)
	}
	isEnding := of.isEnding()
	ts.mu.Unlock()
	if isToNote {
		of.note(e)
	}
	if isEnding {
		ts.end(of)
	}
}

// last returns the last tenure that may have that token, or 0; nil if none may. The mutex is
// held.
func (ts *tenures) last(who holding, token int64) *tenure {
	for _, of := range slices.Backward(ts.byItem[who.leaseID]) {
		if of.has(who, token) {
			return of
		}
	}
	return nil
}

// setTimer has a function called of a tenure after that time, and nothing else. The mutex is
// held.
func (ts *tenures) setTimer(of *tenure, after time.Duration, call func(of *tenure)) {
	if of.timer != nil {
		of.timer.Stop()
	}
	of.timer = time.AfterFunc(after, func() { call(of) })
}

// settle ends the span of a tenure that is over, and of which nothing more was told.
func (ts *tenures) settle(of *tenure) {
	ts.mu.Lock()
	isSettling := of.phase == settling
	if isSettling {
		of.phase = closing
	}
	ts.mu.Unlock()
	if isSettling {
		ts.end(of)
	}
}

// end ends the span of a tenure that is closing.
func (ts *tenures) end(of *tenure) {
	of.end()
	ts.measured.ended(of)
	ts.mu.Lock()
	defer ts.mu.Unlock()
	of.phase = closed
	ts.unclosed--
	ts.setTimer(of, afterglow, ts.forget)
	close(ts.hasClosed)
	ts.hasClosed = make(chan struct{})
}

// forget forgets a tenure whose span has ended, or that nobody but the log knows.
func (ts *tenures) forget(of *tenure) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	isHearsay := of.phase == open && !of.isKnown
	if of.phase != closed && !isHearsay {
		return
	}
	if isHearsay {
		ts.unclosed--
	}
	left := ts.byItem[of.leaseID]
	left = slices.DeleteFunc(left, func(other *tenure) bool { return other == of })
	ts.byItem[of.leaseID] = left
	if len(left) == 0 {
		delete(ts.byItem, of.leaseID)
	}
}

// ofLease returns the tenure of a lease, and begins its span, if it has none and isn't over. It
// may be nil then. Of one that no Locker has told of yet, isNew is true the first time.
func (ts *tenures) ofLease(
	who holding, token int64, isOver bool,
) (of *tenure, isNew bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, known := range slices.Backward(ts.byItem[who.leaseID]) {
		isIt := known.holding == who && known.isOfToken(token)
		if isIt && (isOver || known.phase == open) {
			return known, ts.know(known)
		}
	}
	if isOver {
		return nil, false
	}
	of = ts.begin(who, token, time.Now())
	if of == nil {
		return nil, false
	}
	return of, ts.know(of)
}

// link makes the span of a tenure refer to that of who called Hold, once.
func (ts *tenures) link(of *tenure, caller trace.SpanContext) {
	isOther := caller.IsValid() && caller.TraceID() != of.span.SpanContext().TraceID()
	if !isOther {
		return
	}
	ts.mu.Lock()
	isLinked := of.isLinked
	of.isLinked = true
	ts.mu.Unlock()
	if !isLinked {
		of.span.AddLink(trace.Link{SpanContext: caller})
	}
}

// ofLine returns the tenure that a line of the log is about; nil if it has no span. The line
// that says by which token it was obtained comes before the event: that begins its span.
func (ts *tenures) ofLine(who holding, token int64) *tenure {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	of := ts.last(who, token)
	isUnknown := of == nil || !of.isOfToken(token)
	if token == 0 || !isUnknown {
		return of
	}
	of = ts.begin(who, token, time.Now())
	if of != nil {
		ts.setTimer(of, settleWithin, ts.forget)
	}
	return of
}

// ofRequest returns the tenure that a write of an item is conditional on; nil if there is none.
// It may be over: a write that was given up may be sent all the same.
func (ts *tenures) ofRequest(leaseID string, values map[string]*dynamodb.AttributeValue) *tenure {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, of := range slices.Backward(ts.byItem[leaseID]) {
		if of.isNamedBy(values) {
			return of
		}
	}
	return nil
}

// isNamedBy tells that a request names the tenure's lessee and its token.
func (t *tenure) isNamedBy(values map[string]*dynamodb.AttributeValue) bool {
	token := strconv.FormatInt(t.token, 10)
	hasLessee := false
	hasToken := false
	for _, v := range values {
		if v == nil {
			continue
		}
		hasLessee = hasLessee || aws.StringValue(v.S) == t.lessee
		hasToken = hasToken || aws.StringValue(v.N) == token
	}
	return hasLessee && hasToken
}

// awaitEnd notes that a tenure is over, if nobody has told so: its span ends so, unless more is
// told soon.
func (ts *tenures) awaitEnd(of *tenure, how ending) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if of.phase == open {
		of.phase = settling
		of.ending = how
		ts.setTimer(of, settleWithin, ts.settle)
	}
}

// sweep ends the spans of tenures whose ends were left out, as the events were too many.
func (ts *tenures) sweep(held map[string]bool) {
	for _, of := range ts.unheld(held) {
		ts.awaitEnd(of, ending{how: endUntold, at: time.Now()})
	}
}

// unheld are the tenures that go on, as far as was told, but whose items nobody here holds.
func (ts *tenures) unheld(held map[string]bool) (unheld []*tenure) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for leaseID, all := range ts.byItem {
		for i, of := range all {
			isLast := i == len(all)-1
			goesOn := isLast && held[leaseID]
			if of.phase == open && !goesOn {
				unheld = append(unheld, of)
			}
		}
	}
	ts.crowd = max(leastCrowd, 2*ts.unclosed)
	return unheld
}

// behind is of how many tenures that are over the span hasn't ended. hasClosed is closed when
// that may have changed.
func (ts *tenures) behind(held map[string]bool) (n int, hasClosed <-chan struct{}) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, all := range ts.byItem {
		for _, of := range all {
			if of.isBehind(held) {
				n++
			}
		}
	}
	return n, ts.hasClosed
}

func (t *tenure) isBehind(held map[string]bool) bool {
	if t.phase == open {
		return t.isKnown && !held[t.leaseID]
	}
	return t.phase != closed
}

// close ends all spans, and forgets all tenures.
func (ts *tenures) close(now time.Time) {
	for _, of := range ts.closeAll(now) {
		of.end()
		ts.measured.ended(of)
	}
}

// closeAll returns the tenures whose spans are to end, and knows none any more.
func (ts *tenures) closeAll(now time.Time) (closing []*tenure) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, all := range ts.byItem {
		for _, of := range all {
			if of.shutDown(now) {
				closing = append(closing, of)
			}
			if of.timer != nil {
				of.timer.Stop()
			}
		}
	}
	ts.isClosed = true
	ts.byItem = make(map[string][]*tenure)
	return closing
}

// shutDown tells whether a span is to be ended as all is shut down.
func (t *tenure) shutDown(now time.Time) bool {
	isHearsay := t.phase == open && !t.isKnown
	if t.isEnding() || isHearsay {
		return false
	}
	if t.phase == open {
		t.ending = ending{how: endShutdown, at: now}
	}
	t.phase = closing
	return true
}
