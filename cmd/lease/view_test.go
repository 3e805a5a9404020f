package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/intercom/lease"
)

func TestViewThatIsOldSaysSoAndFreesNothing(t *testing.T) {
	t.Parallel()
	looked := time.Now().Add(-10 * time.Second)
	held := item{LeaseItem: lease.LeaseItem{LeaseID: "a", LesseeID: "w1", FencingToken: 1, Until: looked.Add(time.Second), LeaseUntil: looked.Add(time.Second).UnixNano()}}
	v := &view{title: "t", mark: 5 * time.Second, items: []item{held}, at: looked}
	lines := v.lines(24, time.Now())
	assert.Contains(t, lines[0].text, "NO ANSWER YET, shown is what was 10s ago")
	assert.Contains(t, lines[1].text, "1 held, 0 reserved, 0 free")
	v.at = time.Now()
	assert.Contains(t, v.lines(24, time.Now())[1].text, "0 held, 0 reserved, 1 free")
}
