package main

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

// adoptOrphans makes this process the parent of what its descendants leave, so that it learns when that ends.
func adoptOrphans() { unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// buryOrphans buries, each second, what has ended of those that this process has adopted.
func buryOrphans() {
	for range time.Tick(time.Second) {
		own.Lock()
		tasks, _ := filepath.Glob("/proc/self/task/*/children")
		for _, task := range tasks {
			children, _ := os.ReadFile(task)
			for _, child := range strings.Fields(string(children)) {
				if pid, err := strconv.Atoi(child); err == nil && !own.pids[pid] {
					if group, err := unix.Getpgid(pid); err != nil || group == unix.Getpgrp() {
						continue // The SDK may wait for it.
					}
					unix.Wait4(pid, nil, unix.WNOHANG, nil)
				}
			}
		}
		own.Unlock()
	}
}

// stopped tells whether a child was stopped since this was asked last.
func stopped(pid int) bool {
	var info unix.Siginfo
	return unix.Waitid(unix.P_PID, pid, &info, unix.WSTOPPED|unix.WNOHANG, nil) == nil && info.Signo != 0
}
