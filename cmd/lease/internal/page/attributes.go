package page

import (
	"context"
	"sync"
	"time"
)

// readAttributes reads an item's own attributes, as JSON; "" if there is no such item.
type readAttributes func(ctx context.Context, item string) (string, error)

// attributes are what items had at last. A page that is looked at asks each 2 seconds, and each
// read costs.
type attributes struct {
	read readAttributes

	mu   sync.Mutex
	last map[string]asked
}

type asked struct {
	at   time.Time
	text string
}

func (a *attributes) get(ctx context.Context, item string) (string, error) {
	const good, most = 10 * time.Second, 100
	a.mu.Lock()
	last, isKnown := a.last[item]
	a.mu.Unlock()
	if isKnown && time.Since(last.at) < good {
		return last.text, nil
	}
	text, err := a.read(ctx, item)
	if err != nil {
		return "", err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last == nil || len(a.last) >= most {
		a.last = make(map[string]asked)
	}
	a.last[item] = asked{time.Now(), text}
	return text, nil
}
