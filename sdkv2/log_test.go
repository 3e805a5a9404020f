package sdkv2_test

import (
	"fmt"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"testing"

	v2 "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/logging"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/sdkv2"
)

// In v1.61.0 v2 warned of each body that was closed before it came to read the rest.
func TestLogOfV2IsEmptyWhereNothingIsWrong(t *testing.T) {
	var said atomic.Pointer[string]
	logger := logging.LoggerFunc(func(class logging.Classification, format string, args ...any) {
		line := fmt.Sprintf(string(class)+" "+format, args...)
		said.Store(&line)
	})
	client := &writing{client: &http.Client{Transport: newTransport(t)}, wrote: make(chan error, 1)}
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, <-client.wrote)
		w.Header().Set("X-Amzn-Requestid", "REQUEST")
		w.Header().Set("X-Amz-Crc32", "2745614147")
		fmt.Fprint(w, `{}`)
	})
	ddb := sdkv2.NewFromConfig(configOf(client, s.URL), func(o *v2.Options) { o.Logger = logger })
	for range 20 {
		require.NoError(t, list(ddb))
	}
	if line := said.Load(); line != nil {
		t.Errorf("v2 logged %q", *line)
	}
	from := make(map[string]bool)
	for _, r := range s.all() {
		from[r.RemoteAddr] = true
	}
	assert.Len(t, from, 1, "connections")
}

// writing tells when a request was written. v2 closes its body on a reply; the connection is
// closed, too, if net/http had not yet come to the body's end.
type writing struct {
	client *http.Client
	wrote  chan error
}

func (w *writing) Do(r *http.Request) (*http.Response, error) {
	trace := &httptrace.ClientTrace{
		WroteRequest: func(info httptrace.WroteRequestInfo) { w.wrote <- info.Err },
	}
	return w.client.Do(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
}
