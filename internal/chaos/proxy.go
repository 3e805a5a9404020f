package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options say what a proxy does to the requests that pass it.
type Options struct {
	Upstream string // the endpoint of DynamoDB
	Lessee   string // who uses the proxy, for the history

	// Skew is by how much the clock of the proxy's user is fast. As a process's clock can't be
	// set, it is everyone else's that is set back for that user: the proxy translates the times
	// in requests and replies and the Date header of the replies. Whole seconds, as the header
	// has no others.
	Skew time.Duration

	// OwnDate makes the Date header agree with the clock of the proxy's user, however wrong
	// that is.
	OwnDate bool

	// Rewrite, if set, may change the body of a request of that operation.
	Rewrite func(operation string, body map[string]any)

	// Of the requests, the part Rate (0 to 1) meets with one of the Faults. Which do, and with
	// which, is chosen by Seed alone; each fault comes once before any comes again. Delays are
	// up to Longest, black holes up to twice that.
	Rate    float64
	Faults  []string
	Longest time.Duration
	Seed    uint64

	Record func(Event) // takes the faults
}

// Proxy is an HTTP server between one worker and DynamoDB.
type Proxy struct {
	URL string

	opt       Options
	server    *http.Server
	transport *http.Transport
	conns     atomic.Int64 // open connections of the proxy's user
	calm      chan struct{}
	faults    sync.WaitGroup // requests with a fault, until they have arrived where they ever will

	mu     sync.Mutex // guards:
	rand   *rand.Rand
	deck   []string // the faults to come, before the deck is shuffled anew
	isCalm bool
	dark   time.Time // until then nothing gets through
}

// NewProxy starts a proxy on a port of its own.
func NewProxy(opt Options) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{
		URL: "http://" + listener.Addr().String(),
		opt: opt,
		transport: &http.Transport{
			MaxIdleConnsPerHost:   16,
			ResponseHeaderTimeout: 20 * time.Second,
		},
		calm: make(chan struct{}),
		rand: rand.New(rand.NewPCG(opt.Seed, 0)),
	}
	quiet := log.New(io.Discard, "", 0)
	p.server = &http.Server{Handler: p, ErrorLog: quiet, ConnState: p.connState}
	go p.server.Serve(listener)
	return p, nil
}

func (p *Proxy) connState(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		p.conns.Add(1)
	case http.StateClosed, http.StateHijacked: // who hijacks, closes
		p.conns.Add(-1)
	}
}

// Conns returns how many connections the proxy's user has open.
func (p *Proxy) Conns() int { return int(p.conns.Load()) }

// Dark lets nothing through for a time.
func (p *Proxy) Dark(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dark = time.Now().Add(d)
	p.record(BlackHole)
}

// Calm ends all faults, and blocks until every request that is still under way because of one has
// arrived or is lost for good.
func (p *Proxy) Calm() {
	p.mu.Lock()
	if !p.isCalm {
		p.isCalm = true
		close(p.calm)
	}
	p.mu.Unlock()
	p.faults.Wait()
}

// Close stops the proxy.
func (p *Proxy) Close() error {
	p.Calm()
	err := p.server.Close()
	p.transport.CloseIdleConnections()
	return err
}

func (p *Proxy) record(fault string) {
	if p.opt.Record != nil {
		now := Now()
		p.opt.Record(Event{Kind: Fault, Begin: now, End: now, Lessee: p.opt.Lessee, Note: fault})
	}
}

// plan decides what happens to the next request, "" for nothing, and how long a delay is. After a
// fault, faults.Done must be called.
func (p *Proxy) plan() (fault string, delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rand.Float64() < p.opt.Rate {
		fault = p.draw()
		delay = time.Duration(p.rand.Float64() * float64(p.opt.Longest))
	}
	isDark := time.Now().Before(p.dark)
	if p.isCalm || fault == "" && !isDark {
		return "", 0
	}
	p.faults.Add(1)
	if isDark {
		return RequestSwallowed, p.opt.Longest
	}
	p.record(fault)
	return fault, delay
}

// draw takes the next fault from the deck.
func (p *Proxy) draw() string {
	if len(p.deck) == 0 {
		p.deck = slices.Clone(p.opt.Faults)
		p.rand.Shuffle(len(p.deck), func(i, j int) { p.deck[i], p.deck[j] = p.deck[j], p.deck[i] })
	}
	fault := p.deck[0]
	p.deck = p.deck[1:]
	return fault
}

// reply is what DynamoDB answered; nil if it didn't.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// ServeHTTP passes a request on, or does what the plan says.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		reset(w)
		return
	}
	request := &outgoing{header: r.Header, body: p.outward(operation(r.Header), body)}
	fault, delay := p.plan()
	if fault == "" {
		p.answer(w, p.send(request))
		return
	}
	defer p.faults.Done()
	do, known := doFault[fault]
	if !known {
		panic("chaos: there is no fault " + fault)
	}
	do(&exchange{Proxy: p, w: w, asker: r.Context(), request: request, delay: delay})
}

// outgoing is a request as it goes to DynamoDB.
type outgoing struct {
	header http.Header
	body   []byte
}

// send sends a request once.
func (p *Proxy) send(request *outgoing) *reply {
	r, err := http.NewRequest(http.MethodPost, p.opt.Upstream, bytes.NewReader(request.body))
	if err != nil {
		return nil
	}
	r.Header = request.header.Clone()
	resp, err := p.transport.RoundTrip(r)
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil
	}
	return &reply{resp.StatusCode, resp.Header, body}
}

// answer passes a reply on, in terms of the clock of the proxy's user.
func (p *Proxy) answer(w http.ResponseWriter, reply *reply) {
	if reply == nil {
		reset(w)
		return
	}
	for name, values := range reply.header {
		w.Header()[name] = values
	}
	body := reply.body
	if p.opt.Skew != 0 {
		body = shiftBody(body, -p.opt.Skew)
		w.Header().Del("X-Amz-Crc32")
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		if date, err := http.ParseTime(reply.header.Get("Date")); err == nil {
			p.setDate(w, date)
		}
	}
	w.WriteHeader(reply.status)
	w.Write(body)
}

// refuse answers with an error of DynamoDB's.
func (p *Proxy) refuse(w http.ResponseWriter, status int, code string) {
	p.setDate(w, time.Now())
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("X-Amzn-Requestid", fmt.Sprintf("chaos-%016x", rand.Uint64()))
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"__type":%q,"message":"made by the chaos proxy"}`, code)
}

func (p *Proxy) setDate(w http.ResponseWriter, date time.Time) {
	if !p.opt.OwnDate {
		date = date.Add(-p.opt.Skew)
	}
	w.Header().Set("Date", date.UTC().Format(http.TimeFormat))
}

// sleep blocks for a time, until ctx is done, or until the faults end.
func (p *Proxy) sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-p.calm:
	}
}

// reset ends a connection without an answer.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(errors.Join(http.ErrAbortHandler, err))
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}
