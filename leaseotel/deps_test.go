package leaseotel_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Which SDK there is, is the program's choice.
func TestPackageNeedsOpenTelemetrysAPIOnly(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	require.NoError(t, err)
	deps := strings.Fields(string(out))
	assert.Contains(t, deps, "go.opentelemetry.io/otel/trace")
	for _, dep := range deps {
		isSDK := strings.HasPrefix(dep, "go.opentelemetry.io/otel/sdk")
		assert.False(t, isSDK, dep)
	}
}
