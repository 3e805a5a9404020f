package lease

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/stretchr/testify/assert"
)

// noting is a logger that keeps the events' words.
type noting struct {
	mu   sync.Mutex
	said []string
}

func (n *noting) LogInfoMessage(message string, _ ...any)  { n.note("info " + message) }
func (n *noting) LogErrorMessage(message string, _ ...any) { n.note("error " + message) }

func (n *noting) note(line string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.said = append(n.said, line)
}

func (n *noting) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.said
}

func TestLoggerIsToldOfFailuresThatNothingElseSays(t *testing.T) {
	defer SetLogger(nil)
	boom := errors.New("boom")
	for _, c := range []struct {
		err  error
		want []string
	}{
		{nil, nil},
		{LeaseLostError, nil},
		{LeaseNotObtainedError, nil},
		{fmt.Errorf("wrapped: %w", LeaseNotObtainedError), nil},
		{newRequestError("logged", true, boom), nil},
		{newRequestError("not logged", false, boom), []string{"error AWS Error"}},
		{boom, []string{"error AWS Error"}},
	} {
		logger := &noting{}
		SetLogger(logger)
		logFailure(c.err)
		assert.Equal(t, c.want, logger.all(), "%v", c.err)
	}
}

func TestLoggerIsToldWhatAnErrorOfTheSDKSays(t *testing.T) {
	sdk := awserr.New("Some", "said", errors.New("inside"))
	answered := []any{"Code", "Some", "AWSMessage", "said", "StatusCode", 400, "DDBRequestID", "id"}
	unanswered := []any{"Code", "Some", "AWSMessage", "said", "OriginalError", errors.New("inside")}
	assert.Equal(t, answered, describe(awserr.NewRequestFailure(sdk, 400, "id")))
	assert.Equal(t, unanswered, describe(awserr.NewRequestFailure(sdk, 0, "")))
	assert.Equal(t, unanswered, describe(sdk))
	assert.Equal(t, []any{"error", LeaseHeldError}, describe(LeaseHeldError))
}

func TestLoggerIsSlogsOrNone(t *testing.T) {
	defer slog.SetDefault(slog.Default())
	var said bytes.Buffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&said, nil))) // of level Info
	defer SetLogger(nil)
	current.Store(nil)
	logInfo("some information")
	logError("an error")
	SetLogger(nil)
	logInfo("none")
	logError("none")
	assert.NotContains(t, said.String(), "information")
	assert.Contains(t, said.String(), "an error")
	assert.NotContains(t, said.String(), "none")
}
