package lease

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/stretchr/testify/assert"
)

// LogDebugMessage makes it a logger that takes details too.
func (n *noting) LogDebugMessage(message string, _ ...any) {
	n.note("detail " + message)
}

// saidOf returns what is logged while f runs.
func saidOf(f func(l *Locker)) []string {
	defer SetLogger(nil)
	logger := &noting{}
	SetLogger(logger)
	f(&Locker{where: "the store", reports: reports{faults: make(faults)}})
	return logger.all()
}

var (
	scan   = errand{deed: "scan", lessee: "w1", where: "the store"}
	away   = awserr.NewRequestFailure(awserr.New("ServiceUnavailable", "away", nil), 503, "id")
	denied = awserr.NewRequestFailure(awserr.New("AccessDeniedException", "no", nil), 400, "id")
)

func TestErrandNamesWhatItHas(t *testing.T) {
	l := &Locker{where: "the store"}
	made := l.errand("scan", "", "w1")
	made.begun = time.Time{}
	assert.Equal(t, scan, made)
	assert.Equal(t, "the scan of the store", scan.String())
	assert.Equal(t, []any{"lessee_id", "w1"}, scan.keyvals())

	release := l.errand("release", "a", "w1")
	release.ends = noon
	assert.Equal(t, `the release of "a" in the store`, release.String())
	want := []any{"lessee_id", "w1", "lease_id", "a", "lease_ends", noon}
	assert.Equal(t, want, release.keyvals())
}

func TestLoggerIsToldWhatWasToBeDone(t *testing.T) {
	want := append(describe(away), "error", away, "lessee_id", "w1")
	assert.Equal(t, want, failureOf(scan, away))
	boom := errors.New("boom")
	assert.Equal(t, []any{"error", boom, "lessee_id", "w1"}, failureOf(scan, boom))
}

func TestErrorOfWhatIsNotAnsweredMayPass(t *testing.T) {
	err := scan.unanswered(sec, &tries{})
	var network interface{ Timeout() bool }
	assert.True(t, errors.As(err, &network) && network.Timeout())
	assert.True(t, transient(err))
}

func TestLoggerIsToldOfFaultsRarely(t *testing.T) {
	lease := errand{deed: "lease", leaseID: "a"}
	synctest.Test(t, func(t *testing.T) {
		said := saidOf(func(l *Locker) {
			for range 3 {
				l.failed(scan, denied)
			}
			l.failed(lease, denied)
			l.answered()
			time.Sleep(10 * time.Second)
			l.failed(scan, denied)
		})
		want := []string{
			"error AWS Error", "detail AWS Error", "detail AWS Error",
			"error AWS Error", "error AWS Error",
		}
		assert.Equal(t, want, said)
	})
}

func TestLoggerIsToldOfCredentialsThatCannotBeHadAsOfAnOutage(t *testing.T) {
	said := saidOf(func(l *Locker) {
		l.failed(scan, awserr.New("NoCredentialProviders", "none", nil))
		l.answered()
	})
	assert.Equal(t, []string{"error AWS Error", "error Outage Over"}, said)
}

func TestLoggerIsToldOfEachRowThatCannotBeRead(t *testing.T) {
	said := saidOf(func(l *Locker) {
		for _, id := range []string{"a", "b"} {
			l.failed(errand{deed: "lease", leaseID: id}, rowError{errors.New("too large")})
		}
		l.answered()
	})
	assert.Equal(t, []string{"error AWS Error", "error AWS Error"}, said)
}

// saidOfCall returns what is logged of a call that takes so long and ends so, whose caller waits
// for so long.
func saidOfCall(t *testing.T, waits, takes time.Duration, err error, before func(l *Locker)) (said []string) {
	synctest.Test(t, func(t *testing.T) {
		said = saidOf(func(l *Locker) {
			before(l)
			ctx, cancel := context.WithTimeout(t.Context(), waits)
			defer cancel()
			_, got := reported(ctx, l, scan, func(context.Context) (nothing, error) {
				time.Sleep(takes)
				return nothing{}, err
			})
			assert.Equal(t, err, got)
		})
	})
	return said
}

func TestLoggerIsToldOfCallsThatFailOrHang(t *testing.T) {
	quiet := func(*Locker) {}
	inOutage := func(l *Locker) { l.failed(scan, away) }
	const begins, over = "error AWS Error", "error Outage Over"
	for name, c := range map[string]struct {
		waits, takes time.Duration
		err          error
		before       func(l *Locker)
		want         []string
	}{
		"a success":                        {hour, sec, nil, quiet, nil},
		"a success in an outage":           {hour, sec, nil, inOutage, []string{begins, over}},
		"a verdict":                        {hour, sec, LeaseNotObtainedError, quiet, nil},
		"a verdict in an outage":           {hour, sec, LeaseLostError, inOutage, []string{begins, over}},
		"a failure":                        {hour, sec, away, quiet, []string{begins}},
		"a hang of less than four seconds": {hour, 4*sec - 1, nil, quiet, nil},
		"a longer one":                     {hour, 4*sec + 1, nil, quiet, []string{begins, over}},
		"a hang that was given up":         {sec, 6 * sec, nil, quiet, nil},
		"a failure of what was given up":   {sec, 2 * sec, away, quiet, nil},
		"a verdict after it was given up":  {sec, 2 * sec, LeaseLostError, inOutage, []string{begins}},
	} {
		assert.Equal(t, c.want, saidOfCall(t, c.waits, c.takes, c.err, c.before), name)
	}
}

func TestAskSaysWhatItsCallerHasGivenUpAndLogsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		said := saidOf(func(l *Locker) {
			for patience, want := range map[time.Duration]string{hour: "was given up", sec: "was not answered within 1s"} {
				ctx, cancel := context.WithTimeout(t.Context(), 2*sec)
				defer cancel()
				_, err := ask(ctx, l, scan, patience, func(ctx context.Context) (nothing, error) {
					<-ctx.Done()
					return nothing{}, ctx.Err()
				})
				assert.ErrorContains(t, err, want)
				assert.Equal(t, patience == hour, errors.Is(err, context.DeadlineExceeded))
			}
		})
		assert.Equal(t, []string{"error AWS Error"}, said, "of what was not answered only")
	})
}
