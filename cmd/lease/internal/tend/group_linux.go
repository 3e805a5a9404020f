package tend

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// dieWithParent has a process killed when the thread that starts it ends.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }

// adoptOrphans makes this process the parent of what its descendants leave, so that it learns when
// that ends.
func adoptOrphans() { unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// buryOrphans buries, each second, what has ended of those that this process has adopted.
func buryOrphans() {
	for range time.Tick(time.Second) {
		own.Lock()
		for _, pid := range childrenOf("self") {
			if !own.pids[pid] {
				buryOrphan(pid)
			}
		}
		own.Unlock()
	}
}

// childrenOf returns the children of all threads of a process.
func childrenOf(process string) []int {
	var pids []int
	tasks, _ := filepath.Glob("/proc/" + process + "/task/*/children")
	for _, task := range tasks {
		children, _ := os.ReadFile(task)
		for _, child := range strings.Fields(string(children)) {
			if pid, err := strconv.Atoi(child); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// buryOrphan buries a child, if it has ended and is of another group than this process: the SDK may
// wait for one of this group.
func buryOrphan(pid int) {
	group, err := unix.Getpgid(pid)
	if err != nil || group == unix.Getpgrp() {
		return
	}
	unix.Wait4(pid, nil, unix.WNOHANG, nil)
}

// stopped tells whether a child was stopped since this was asked last.
func stopped(pid int) bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, pid, &info, unix.WSTOPPED|unix.WNOHANG, nil)
	return err == nil && info.Signo != 0
}

// stoppedBelow tells whether one of the group is stopped among those that a process has started. It
// may be so alone: a shell that starts a program stands still until that has begun, and can't be
// stopped meanwhile.
func stoppedBelow(pid, group int) bool {
	for _, child := range childrenOf(strconv.Itoa(pid)) {
		if isStopped(child, group) || stoppedBelow(child, group) {
			return true
		}
	}
	return false
}

// isStopped tells whether a process is of that group, and stopped.
func isStopped(pid, group int) bool {
	stat, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, rest, _ := strings.Cut(string(stat), ") ") // of its name
	fields := strings.Fields(rest)                // state, parent, group
	return len(fields) > 2 && fields[0] == "T" && fields[2] == strconv.Itoa(group)
}
