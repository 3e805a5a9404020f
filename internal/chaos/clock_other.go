//go:build !linux

package chaos

import "time"

// Now is the time by a clock that all processes of the machine share: here, one that can be set.
func Now() time.Duration { return time.Duration(time.Now().UnixNano()) }
