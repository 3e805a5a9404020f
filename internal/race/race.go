// Package race tells whether a program has the race detector.
package race

import (
	"runtime/debug"
	"slices"
)

// Enabled tells whether this program was built with -race.
func Enabled() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
