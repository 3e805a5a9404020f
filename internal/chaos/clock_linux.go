package chaos

import (
	"syscall"
	"time"
	"unsafe"
)

// Now is the time by a clock that all processes of the machine share and nobody sets.
func Now() time.Duration {
	const monotonic = 1 // CLOCK_MONOTONIC
	var now syscall.Timespec
	at := uintptr(unsafe.Pointer(&now))
	_, _, err := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, monotonic, at, 0)
	if err != 0 {
		panic("chaos: clock_gettime: " + err.Error())
	}
	return time.Duration(now.Nano())
}
