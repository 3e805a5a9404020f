package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// quiet is how long the fleet is watched when it is level.
const quiet = 4 * time.Second

// play plays the scenes, the last of which is that all stop.
func (f *fleet) play(ctx context.Context) error {
	f.began = time.Now()
	f.printHeader()
	scenes := []struct {
		title string
		play  func() error
	}{
		{"three workers start", f.startThree},
		{"worker-4 joins", f.start},
		{"SIGKILL for worker-2", func() error { return f.kill(f.members[1]) }},
		{"SIGTERM for worker-3", func() error { return f.terminate(f.members[2]) }},
	}
	for _, scene := range scenes {
		f.sayScene(scene.title)
		if err := scene.play(); err != nil {
			return err
		}
		if err := f.awaitLevel(ctx); err != nil {
			held := mailboxes - f.nobody()
			return fmt.Errorf("waiting for level shares, with %d of %d mailboxes held: %w",
				held, mailboxes, err)
		}
	}
	f.over = time.Now()
	f.held = mailboxes - f.nobody()
	return f.stopAll(ctx)
}

func (f *fleet) startThree() error { return errors.Join(f.start(), f.start(), f.start()) }

// awaitLevel waits until the shares are level, and have been so all the time while they are
// watched.
func (f *fleet) awaitLevel(ctx context.Context) error {
	if err := f.await(ctx, f.level); err != nil {
		return err
	}
	f.say("level")

	since := time.Now()
	return f.await(ctx, func() bool {
		if !f.level() {
			since = time.Now()
		}
		return time.Since(since) >= quiet
	})
}

// stopAll tells all workers to stop, and waits until they have.
func (f *fleet) stopAll(ctx context.Context) error {
	for _, m := range f.members {
		if !m.running {
			continue
		}
		if err := f.terminate(m); err != nil {
			return err
		}
	}
	return f.await(ctx, func() bool { return f.running() == 0 })
}
