package leaseotel_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/intercom/lease"
)

// recorder keeps lines, with their keys and values.
type recorder struct {
	mu    sync.Mutex
	lines []map[string]any
}

func (r *recorder) LogInfoMessage(message string, keyvals ...any)  { r.keep(message, keyvals) }
func (r *recorder) LogErrorMessage(message string, keyvals ...any) { r.keep(message, keyvals) }

func (r *recorder) keep(message string, keyvals []any) {
	line := map[string]any{"message": message}
	for pair := range slices.Chunk(keyvals, 2) {
		line[pair[0].(string)] = pair[1]
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
}

// detailed is one that takes details too.
type detailed struct{ *recorder }

func (d detailed) LogDebugMessage(message string, keyvals ...any) { d.keep(message, keyvals) }

func setLogger(t *testing.T, logger lease.LeaseLogger) {
	lease.SetLogger(logger)
	t.Cleanup(func() { lease.SetLogger(nil) })
}

func TestLoggerAddsTheIDsOfTheTenuresSpan(t *testing.T) {
	imagine(t, func(i *imagined) {
		r := &recorder{}
		setLogger(t, i.telemetry.Logger(r))
		for range 2 {
			i.hold(15 * time.Second)
		}
		tenures := i.tenures()
		require.Len(t, tenures, 2)
		of := -1
		for _, line := range r.lines {
			if line["message"] == "Obtained Lease" {
				of++
			}
			assert.Equal(t, tenures[of].SpanContext.TraceID().String(), line["trace_id"], line)
			assert.Equal(t, tenures[of].SpanContext.SpanID().String(), line["span_id"], line)
		}
		assert.Len(t, r.lines, 2*3) // obtained, renewed, released
	})
}

func TestLoggerOfLinesAboutNoTenure(t *testing.T) {
	imagine(t, func(i *imagined) {
		r := &recorder{}
		logger := i.telemetry.Logger(r)
		logger.LogErrorMessage("AWS Error", "lessee_id", "w1")
		logger.LogInfoMessage("Obtained Lease", "lease_id", 7, "lessee_id", nil, "fencing_token", "x")
		logger.LogInfoMessage("Released Lease", "lease_id", "bob", "lessee_id", "w1")
		for _, line := range r.lines {
			assert.NotContains(t, line, "trace_id")
		}
		assert.Len(t, r.lines, 3)
	})
}

// Nobody tells of the tenures of a Locker that isn't observed: a span of one is never ended.
func TestLoggerOfALockerThatIsNotObserved(t *testing.T) {
	imagine(t, func(i *imagined) {
		setLogger(t, i.telemetry.Logger(&recorder{}))
		locker := lease.NewLocker(i.store)
		require.NoError(t, locker.Hold(i.ctx, for30s("w2"), workFor(time.Minute)))
		require.NoError(t, locker.Hold(i.ctx, for30s("w2"), workFor(time.Second)))
		require.NoError(t, i.telemetry.Shutdown(i.ctx))
		assert.Empty(t, i.spans.GetSpans())
	})
}

func TestLoggerHandsDetailsToWhoTakesThem(t *testing.T) {
	imagine(t, func(i *imagined) {
		plain := &recorder{}
		takesAll := detailed{&recorder{}}
		for _, next := range []lease.LeaseLogger{plain, takesAll, nil} {
			logger := i.telemetry.Logger(next).(interface {
				LogDebugMessage(message string, keyvals ...any)
			})
			logger.LogDebugMessage("AWS Error", "lease_id", "alice")
		}
		assert.Empty(t, plain.lines)
		assert.Len(t, takesAll.lines, 1)
	})
}

// spanKeeper keeps the spans that records' contexts have.
type spanKeeper struct {
	slog.Handler
	spans *[]trace.SpanContext
}

func (k spanKeeper) Handle(ctx context.Context, r slog.Record) error {
	*k.spans = append(*k.spans, trace.SpanContextFromContext(ctx))
	return k.Handler.Handle(ctx, r)
}

func TestLoggerOfNobodyIsSlogs(t *testing.T) {
	imagine(t, func(i *imagined) {
		var out bytes.Buffer
		var spans []trace.SpanContext
		before := slog.Default()
		t.Cleanup(func() { slog.SetDefault(before) })
		all := &slog.HandlerOptions{Level: slog.LevelDebug}
		slog.SetDefault(slog.New(spanKeeper{slog.NewJSONHandler(&out, all), &spans}))
		setLogger(t, i.telemetry.Logger(nil))
		time.AfterFunc(15*time.Second, func() { i.store.Steal("alice", "w2", time.Hour) })
		i.holdLosing(lease.LeaseLostError)
		synctest.Wait()
		want := i.tenure().SpanContext
		levels := make(map[string]any)
		for line := range strings.Lines(out.String()) {
			var got map[string]any
			require.NoError(t, json.Unmarshal([]byte(line), &got))
			levels[got["msg"].(string)] = got["level"]
			assert.Equal(t, want.TraceID().String(), got["trace_id"])
		}
		assert.Equal(t, "DEBUG", levels["Obtained Lease"])
		for _, span := range spans {
			assert.Equal(t, want, span)
		}
		assert.NotEmpty(t, spans)
	})
}
