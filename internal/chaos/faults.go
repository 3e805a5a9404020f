package chaos

import (
	"context"
	"io"
	"net/http"
	"time"
)

// The faults of single requests.
const (
	RequestReset     = "request dropped, connection reset"
	RequestSwallowed = "request dropped, black hole"
	ReplyReset       = "reply dropped, connection reset"
	ReplySwallowed   = "reply dropped, black hole"
	RequestDelayed   = "request delayed"
	ReplyDelayed     = "reply delayed"
	SentTwice        = "duplicate at once"
	SentAgain        = "duplicate later"
	SentLate         = "connection reset, request arrives late"
	Throttled        = "throttled"
	Failed           = "500, not applied"
	FailedAfter      = "500, applied"
	Foreign          = "503 of a proxy, with the Date of another clock"
)

// AnyFault is all faults. InOrder is those that don't let a request arrive after later ones of the
// same user.
var (
	InOrder = []string{RequestReset, RequestSwallowed, ReplyReset, ReplySwallowed, RequestDelayed,
		ReplyDelayed, SentTwice, Throttled, Failed, FailedAfter, Foreign}
	AnyFault = append([]string{SentAgain, SentLate}, InOrder...)
)

// BlackHole is the fault of a time in which no request gets through.
const BlackHole = "black hole for a time"

// doFault is how each fault is done.
var doFault = map[string]func(*exchange){
	RequestReset:     (*exchange).reset,
	RequestSwallowed: (*exchange).hang,
	ReplyReset:       func(x *exchange) { x.send(); x.reset() },
	ReplySwallowed:   func(x *exchange) { x.send(); x.hang() },
	RequestDelayed:   (*exchange).delayRequest,
	ReplyDelayed:     (*exchange).delayReply,
	SentTwice:        (*exchange).sendTwice,
	SentAgain:        (*exchange).sendAgain,
	SentLate:         func(x *exchange) { x.sendLater(); x.reset() },
	Throttled:        (*exchange).throttle,
	Failed:           (*exchange).fail,
	FailedAfter:      func(x *exchange) { x.send(); x.fail() },
	Foreign:          (*exchange).answerForDynamoDB,
}

// exchange is one request that meets with a fault.
type exchange struct {
	*Proxy
	w       http.ResponseWriter
	asker   context.Context // done when who sent the request has gone
	request *outgoing
	delay   time.Duration
}

func (x *exchange) send() *reply { return x.Proxy.send(x.request) }

func (x *exchange) reset() { reset(x.w) }

func (x *exchange) answer(r *reply) { x.Proxy.answer(x.w, r) }

// hang answers nothing, for a long time.
func (x *exchange) hang() {
	x.sleep(x.asker, 2*x.delay)
	x.reset()
}

// delayRequest lets the request arrive also if who sent it has gone.
func (x *exchange) delayRequest() {
	x.sleep(context.Background(), x.delay)
	x.answer(x.send())
}

func (x *exchange) delayReply() {
	reply := x.send()
	x.sleep(x.asker, x.delay)
	x.answer(reply)
}

func (x *exchange) sendTwice() {
	replies := make(chan *reply, 2)
	for range 2 {
		go func() { replies <- x.send() }()
	}
	first := <-replies
	<-replies
	x.answer(first)
}

func (x *exchange) sendAgain() {
	reply := x.send()
	x.sendLater()
	x.answer(reply)
}

// sendLater lets the request arrive later, whatever was answered.
func (x *exchange) sendLater() {
	x.faults.Go(func() {
		x.sleep(context.Background(), x.delay)
		x.send()
	})
}

func (x *exchange) throttle() {
	x.refuse(x.w, http.StatusBadRequest,
		"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException")
}

func (x *exchange) fail() {
	x.refuse(x.w, http.StatusInternalServerError,
		"com.amazonaws.dynamodb.v20120810#InternalServerError")
}

// foreignClock is how fast the clock is of what answers for DynamoDB.
const foreignClock = 10 * time.Minute

// answerForDynamoDB is what a load balancer does that finds no server.
func (x *exchange) answerForDynamoDB() {
	x.setDate(x.w, time.Now().Add(foreignClock))
	x.w.WriteHeader(http.StatusServiceUnavailable)
	io.WriteString(x.w, "no server is available")
}
