package say

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAboutEventHasWhatTheLineHas(t *testing.T) {
	t.Parallel()
	keyvals := []any{"lease_id", "a", "error", nil, "stack", "main.go:1\nmain.go:2", "failures", 3, "odd"}
	assert.Equal(t, `Lease Lost lease_id="a" failures="3"`, EventLine("Lease Lost", keyvals))
	assert.Equal(t, About{Details: map[string]string{"lease_id": "a", "failures": "3"}}, AboutEvent(keyvals))
}
