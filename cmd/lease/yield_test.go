package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestYieldHandsAnItemOverAndSaysWhoHasItThen(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	ticks := t.TempDir() + "/ticks"
	first := f.hold("w1", append([]string{"-duration", "20s", "--"}, work(ticks)...)...)
	token := f.item("a").FencingToken
	second := f.start(append([]string{"hold", "-as", "w2", "-duration", "20s", "--"}, work(ticks)...)...)
	r := f.run("yield", "a", "-to", "w2", "-force", "-wait", "5m")
	assert.Equal(t, result{stdout: fmt.Sprintf("a: asked w1 to hand it over to w2\na: w2 has it, with the token %d\n", token+1)}, r)
	assert.Equal(t, 7, first.wait().status)
	second.stdout.await(t, fmt.Sprintf("w2: a %d\n", token+1))
	assert.Equal(t, result{stdout: fmt.Sprintf("a: w2 has it, with the token %d\n", token+1)}, f.run("yield", "a", "-to", "w2"))
}

func TestYieldFreesAnItemForWhoeverComesAndSaysWhoHasItThen(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	ticks := t.TempDir() + "/ticks"
	first := f.hold("w1", append([]string{"-duration", "20s", "--"}, work(ticks)...)...)
	token := f.item("a").FencingToken
	second := f.start(append([]string{"hold", "-as", "w2", "-duration", "20s", "--"}, work(ticks)...)...)
	r := f.run("yield", "a", "-wait", "5m")
	assert.Equal(t, result{stdout: fmt.Sprintf("a: asked w1 to give it up, for whoever comes\na: w2 has it, with the token %d\n", token+1)}, r)
	assert.Equal(t, 7, first.wait().status)
	second.stdout.await(t, fmt.Sprintf("w2: a %d\n", token+1))
	require.NoError(t, second.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, 7, second.wait().status)
	assert.Equal(t, result{stdout: "a: nobody holds it\n"}, f.run("yield", "a"))
}

func TestYieldOfAHolderThatHeedsNoWishesFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a", "free")
	f.lease("a", "w1", time.Hour)
	r := f.run("yield", "a", "missing", "free", "-wait", "1s")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.stdout, "a: asked w1 to give it up, for whoever comes\n")
	assert.Contains(t, r.stdout, "free: nobody holds it\n")
	assert.Contains(t, r.stderr, "lease: there is no item missing")
	assert.Regexp(t, `(?m)^lease: a was not given up: it is held by w1 with the token \d+`, r.stderr)

	wish := f.item("a")
	assert.Empty(t, wish.WantedBy)
	assert.Equal(t, wish.WantedUntil, wish.LeaseUntil, "its next renewal shows it")
	assert.Equal(t, result{stdout: "a: asked w1 to hand it over to w2\n"}, f.run("yield", "-wait", "0", "a", "-to", "w2", "-force"))
	assert.Equal(t, "w2", f.item("a").WantedBy)
}

func TestYieldOfManyItemsWaitsForAllAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.fill(20)
	require.NoError(t, f.WantLease(t.Context(), f.item("item-000007"), "w2", time.Now().Add(2*time.Hour)))
	args := []string{"yield", "-wait", "5m"}
	for n := range 20 {
		args = append(args, fmt.Sprintf("item-%06d", n))
	}
	p := f.start(args...)
	await(t, "all are asked, none before another is waited for", func() bool { return strings.Count(p.stdout.String(), "\n") == 20 })
	assert.Empty(t, p.stderr.String())
	assert.Contains(t, p.stdout.String(), "item-000007: w2 has asked worker-07 for it already\n")
	assert.Equal(t, "w2", f.item("item-000007").WantedBy)
	for _, id := range args[3:] {
		f.delete(id)
	}
	r := p.wait()
	assert.Equal(t, 0, r.status, r.stderr)
	assert.Equal(t, 20, strings.Count(r.stdout, ": was retired\n"))
}

func TestYieldWaitsOutAnOutage(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l := f.lease("a", "w1", time.Hour)
	down := f.outage()
	p := f.start("yield", "a", "-wait", "5m")
	p.stdout.await(t, "asked w1")
	down.Store(true)
	p.stderr.await(t, "it asks on")
	require.NoError(t, f.ReleaseLease(l))
	l = f.lease("a", "w2", time.Hour)
	down.Store(false)
	r := p.wait()
	assert.Equal(t, 0, r.status, r.stderr)
	assert.Contains(t, r.stdout, fmt.Sprintf("a: w2 has it, with the token %d\n", l.FencingToken()))
	assert.Equal(t, 1, strings.Count(r.stderr, "\n"))
}

func TestYieldSaysWhenTheWrongOneHasIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l := f.lease("a", "w1", time.Hour)
	p := f.start("yield", "a", "-to", "w2", "-force", "-wait", "5m")
	p.stdout.await(t, "asked w1")
	require.NoError(t, f.ReleaseLease(l))
	f.lease("a", "w3", time.Hour)
	assertOneLine(t, p.wait(), 1, "a went to w3, not to w2")

	l = f.lease("a", "w3", 2*time.Hour)
	f.want("a", "w4")
	require.NoError(t, f.HandOverLease(t.Context(), l, time.Now().Add(10*time.Minute)))
	assert.Equal(t, result{stdout: "a: is reserved for w4 already\n"}, f.run("yield", "a", "-to", "w4", "-wait", "0s"))
	assertOneLine(t, f.run("yield", "a", "-to", "w4", "-wait", "1ms"), 1, "a is reserved for w4, which has not taken it yet")
}

func TestYieldToANameThatNobodyHasIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a", "b")
	f.lease("a", "host-1:4711", time.Hour)
	f.lease("b", "host-2:4711", time.Hour)
	assertOneLine(t, f.run("yield", "a", "-to", "host-2:4712"), 1, "no live worker host-2:4712", "is it host-2:4711?", "-force")
	assert.Zero(t, f.item("a").WantedUntil)
	assert.Equal(t, result{stdout: "a: asked host-1:4711 to hand it over to host-2:4711\n"}, f.run("yield", "a", "-to", "host-2:4711", "-wait", "0"))
}

func TestYieldOfAHolderAsksForAllThatItHas(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a", "b", "c", "d")
	f.lease("a", "w1", time.Hour)
	f.lease("b", "w1", time.Hour)
	f.lease("c", "w2", time.Hour)
	r := f.run("yield", "-holder", "w1", "-wait", "0")
	assert.Equal(t, 0, r.status)
	assert.Equal(t, "lease: w1 has 2 items. If it goes on it takes a fair share of all items again: stop it to drain it.\n", r.stderr)
	assert.Contains(t, r.stdout, "a: asked w1 to give it up, for whoever comes\n")
	assert.Contains(t, r.stdout, "b: asked w1 to give it up, for whoever comes\n")
	assert.NotZero(t, f.item("a").WantedUntil)
	assert.Zero(t, f.item("c").WantedUntil)
	assertOneLine(t, f.run("yield", "-holder", "w3"), 1, `w3 holds nothing in table "`)
}

func TestYieldThatBeginsInAnOutageWaitsItOut(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	f.lease("a", "w1", time.Hour)
	down := f.outage()
	down.Store(true)
	var running []*process
	for _, what := range [][]string{{"yield", "a"}, {"yield", "-holder", "w1"}, {"retire", "-yield", "a"}} {
		p := f.start(append(what, "-wait", "5m")...)
		p.stderr.await(t, "lease: waiting: no answer from http://")
		running = append(running, p)
	}
	down.Store(false)
	for _, p := range running {
		p.stdout.await(t, "a: ") // Who comes second says that it is asked for already.
	}
	f.delete("a")
	for _, p := range running {
		r := p.wait()
		assert.Equal(t, 0, r.status, r.stderr)
		assert.Contains(t, r.stdout, "a: was retired\n")
	}
	down.Store(true)
	assertOneLine(t, f.run("yield", "a", "-wait", "0"), 1, "no answer from http://")
}
