package page

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/exit"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/history"
	"github.com/intercom/lease/cmd/lease/internal/say"
)

// Options are what the flags of page say.
type Options struct {
	Listen string
	File   string
	Keep   time.Duration
	Every  time.Duration
	Prices fleet.Prices
	Zone   *time.Location // where the times are that people read
}

// Check tells what is wrong with them.
func (o Options) Check() error {
	if o.Every < 50*time.Millisecond {
		return exit.Usagef("-every is %v; want 50ms or more", o.Every)
	}
	if o.Keep < time.Minute {
		return exit.Usagef("-keep is %v; want 1m or more", o.Keep)
	}
	_, port, err := net.SplitHostPort(o.Listen)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return exit.Usagef("-listen is %q; want HOST:PORT, as 127.0.0.1:8099", o.Listen)
	}
	return nil
}

// Run shows a table to browsers until ctx is done.
func Run(ctx context.Context, c *dynamo.Client, a *dynamo.Address, o Options) error {
	where := strings.Trim(c.Region()+"  "+a.Endpoint, " ")
	kept, err := history.Open(ctx, history.Options{
		File: o.File, Keep: o.Keep, Every: o.Every, Prices: o.Prices,
		Place: fmt.Sprintf("table %s at %s", c.Table, a.Endpoint),
	})
	if err != nil {
		return err
	}
	defer kept.Close()
	listener, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("can't listen: %w", err)
	}
	defer listener.Close()
	explain := func(err error) string { return say.Line(a.Explanation(err)) }
	l := &looker{History: kept, Watcher: dynamo.NewWatcher(c), every: o.Every, explain: explain}
	if err := l.first(ctx); err != nil {
		return err
	}
	ip := listener.Addr().(*net.TCPAddr).IP
	s := &Server{
		History: kept, Table: c.Table, Where: where, Every: o.Every, Explain: explain, Zone: o.Zone,
		AnyHost: !ip.IsLoopback(),
	}
	handler := s.Serve(ownAttributes(c.WithOwnAttributes()))
	say.Warn("showing table %q at http://%s/%s", c.Table, listener.Addr(), beyond(ip))
	return serve(ctx, listener, handler, l)
}

func beyond(ip net.IP) string {
	if ip.IsLoopback() {
		return ""
	}
	return ", to whoever can reach it: it asks nobody for a password"
}

func ownAttributes(wide *dynamo.Client) readAttributes {
	return func(ctx context.Context, item string) (string, error) {
		i, _, err := wide.Get(ctx, item)
		return i.Users, err
	}
}

// serve answers browsers, and looks, until one of the two is over.
func serve(ctx context.Context, listener net.Listener, handler http.Handler, l *looker) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
	}
	over := make(chan error, 1)
	go func() { over <- l.run(ctx) }()
	go func() {
		<-ctx.Done()
		closing, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if server.Shutdown(closing) != nil {
			server.Close()
		}
	}()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-over:
		cancel()
		<-served
		return err
	case err := <-served:
		cancel()
		<-over
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return err
	}
}

// looker looks at the table, and has the history keep what it sees.
type looker struct {
	*history.History
	*dynamo.Watcher
	every   time.Duration
	explain func(error) string
	looking say.Trouble
	keeping say.Trouble
}

func (l *looker) first(ctx context.Context) error {
	if _, err := l.Look(ctx); err != nil {
		return err
	}
	return l.Note(ctx, l.Found(), "")
}

// run looks until ctx is done, or can't any more.
func (l *looker) run(ctx context.Context) error {
	return dynamo.Each(ctx, l.Start(ctx, l.every), func(look dynamo.Look) (goesOn bool, err error) {
		if ctx.Err() != nil {
			return false, nil
		}
		failure := ""
		if look.Err != nil {
			failure = l.explain(look.Err)
		}
		unkept := ""
		if err := l.Note(ctx, look, failure); err != nil {
			unkept = err.Error()
		}
		if ctx.Err() == nil { // What ends with it is no trouble.
			l.looking.Tell("the look", failure)
			l.keeping.Tell("keeping what is seen", unkept)
		}
		return true, nil
	})
}
