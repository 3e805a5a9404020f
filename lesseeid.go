package lease

import (
	"crypto/rand"
	"fmt"
	"os"
	"strings"
)

// UniqueLesseeID returns a LesseeID that no other process has: this host's name, the
// process ID, and random text, as "web-1:4711:K7QDBX2MZ3RA". Two containers may have one
// host name, and in each the worker is process 1: the text tells them apart. Each call
// returns another name, so a worker calls it once.
//
// A worker that starts again under a new name finds its own old leases held by another,
// until they end. Where names are given out one to each place, and never to two processes
// at once (a StatefulSet's pod, by its name), that name is better: such a worker goes on
// with its items at once.
func UniqueLesseeID() string {
	const randomLetters = 12 // of 5 bits each
	random := rand.Text()[:randomLetters]
	host := hostName(os.Hostname())
	return lesseeIDOf(host, os.Getpid(), random)
}

func lesseeIDOf(host string, process int, random string) string {
	return fmt.Sprintf("%s:%d:%s", host, process, random)
}

// hostName returns what there is of a host's name, fit for a LesseeID. Without one a name
// is as unique, and only says less.
func hostName(host string, err error) string {
	const longest = 255 // bytes, as in DNS
	if err != nil || host == "" {
		return "unknown"
	}
	cut := host[:min(len(host), longest)]
	return strings.ToValidUTF8(cut, "?")
}
