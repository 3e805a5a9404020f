package sdkv2_test

import (
	"fmt"
	"net/http"
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
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Amzn-Requestid", "REQUEST")
		w.Header().Set("X-Amz-Crc32", "2745614147")
		fmt.Fprint(w, `{}`)
	})
	client := &http.Client{Transport: newTransport(t)}
	ddb := sdkv2.NewFromConfig(configOf(client, s.URL), func(o *v2.Options) { o.Logger = logger })
	for range 3 {
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
