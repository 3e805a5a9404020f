//go:build !linux

package tend

import "syscall"

func dieWithParent(*syscall.SysProcAttr) {} // The guard does.

func adoptOrphans() {} // Init buries them.

func buryOrphans() {} // There are none.

func stopped(int) bool { return false }

// stoppedBelow can't be told here.
func stoppedBelow(int, int) bool { return false }
