package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/internal/workers"
)

// engine is what the fleet runs on: local or memory. Scenes, table and summary are the same on
// both.
type engine interface {
	// prepare makes the mailboxes and the guard, and says where they are.
	prepare(ctx context.Context, mailboxes []string) (stage string, err error)
	// start starts one more worker.
	start(name string) (process, error)
	// events are the workers' reports. The last one of each is of the kind "exited", with the
	// error in its text if there was one.
	events() <-chan workers.Event
	// close ends all workers, and removes what the engine has made.
	close() error
}

// process is a worker that was started, to be ended.
type process interface {
	Kill() error      // ends it at once: it releases nothing
	Terminate() error // tells it to stop
}

// open returns the engine of that name. Without a name it is local if that can be had, else
// memory, and out gets a line that says why.
func open(ctx context.Context, out io.Writer, name string) (engine, error) {
	switch name {
	case "local":
		return openLocal(ctx, out)
	case "memory":
		return newMemory(ctx), nil
	}
	why := lacks(ddblocal.Missing())
	if why == "" {
		e, err := openLocal(ctx, out)
		if err == nil || ctx.Err() != nil {
			return e, err
		}
		why, _, _ = strings.Cut(err.Error(), "\n")
	}
	fmt.Fprintf(out, "%s; instead all is in this one process, as with -engine memory\n", why)
	return newMemory(ctx), nil
}

// lacks says that programs are missing; "" if none is.
func lacks(programs []string) string {
	if len(programs) == 0 {
		return ""
	}
	return "DynamoDB Local needs " + strings.Join(programs, " and ") + ", not found here"
}
