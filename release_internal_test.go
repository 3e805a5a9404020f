package lease

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestReleaseTakesAsLongAsTheRowLastsTenSecondsAtMost(t *testing.T) {
	for rowLasts, want := range map[time.Duration]time.Duration{
		-hour:      sec,
		0:          sec,
		1:          1,
		ms:         ms,
		9 * sec:    9 * sec,
		10*sec + 1: 10 * sec,
		hour:       10 * sec,
	} {
		patience, verb := releasePatience(rowLasts)
		assert.Equal(t, want, patience, "%v", rowLasts)
		assert.Equal(t, rowLasts > 0, verb == "ends", "%v", rowLasts)
	}
}
