package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// guard is DynamoDB behind IAM: a proxy that notes each request, and denies what a policy doesn't
// allow. It allows all before it enforces one.
type guard struct {
	endpoint string

	mu      sync.Mutex
	policy  *policy
	asked   []asked
	denied  map[string]int // how often each action was
	tooMany context.CancelFunc
	around  hooks
}

// hooks are called around a request that is allowed.
type hooks struct {
	before func(r asked) // it is passed on when this returns
	after  func(r asked) // when it was answered, and somebody heard it
}

// newGuard returns a guard before an endpoint. tooMany is called when an action is denied for the
// second time: nobody is to wait on.
func newGuard(tb testing.TB, endpoint string, tooMany context.CancelFunc) *guard {
	tb.Helper()
	target, err := url.Parse(endpoint)
	require.NoError(tb, err)
	nothing := func(asked) {}
	g := &guard{denied: make(map[string]int), tooMany: tooMany, around: hooks{nothing, nothing}}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		// A client that ends leaves requests behind.
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asks, err := read(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		around, isAllowed := g.admit(asks)
		if !isAllowed {
			deny(w, asks)
			return
		}
		around.before(asks)
		proxy.ServeHTTP(w, r)
		wasHeard := r.Context().Err() == nil
		if wasHeard {
			go around.after(asks) // The reply is sent when this handler returns.
		}
	}))
	tb.Cleanup(server.Close)
	g.endpoint = server.URL
	return g
}

// read reads what a request asks for, and leaves it as it was.
func read(r *http.Request) (asked, error) {
	_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return asked{}, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return askedBy(action, body)
}

// admit notes a request, and tells whether it is allowed, and what is to be called around it.
func (g *guard) admit(r asked) (around hooks, isAllowed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	isAllowed = g.policy == nil || g.policy.allows(r)
	g.asked = append(g.asked, r)
	if !isAllowed {
		g.denied[r.action]++
		if g.denied[r.action] == 2 {
			g.tooMany()
		}
	}
	return g.around, isAllowed
}

// call has the hooks called from now on.
func (g *guard) call(around hooks) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.around = around
}

// deny answers as DynamoDB does.
func deny(w http.ResponseWriter, r asked) {
	refuse(w, "AccessDeniedException", fmt.Sprintf(
		"User: arn:aws:iam::123456789012:user/test is not authorized to perform: dynamodb:%s on resource: %s",
		r.action, arnOf(r.table)))
}

func refuse(w http.ResponseWriter, code, message string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("X-Amzn-Requestid", "GUARD")
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprintf(w, `{"__type":"com.amazon.coral.service#%s","message":%q}`, code, message)
}

// enforce forgets what was asked for, and has a policy decide from now on.
func (g *guard) enforce(p *policy) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.policy = p
	g.asked = nil
}

// actions are those that were asked for, each once.
func (g *guard) actions() []string { return g.distinct(func(r asked) string { return r.action }) }

// tables are those that were asked, each once.
func (g *guard) tables() []string { return g.distinct(func(r asked) string { return r.table }) }

func (g *guard) distinct(of func(r asked) string) (names []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.asked {
		names = append(names, of(r))
	}
	slices.Sort(names)
	return slices.Compact(names)
}
