package tend

import (
	"net"
	"os"
	"path/filepath"
	"strings"
)

// notices are what a command says by the convention of systemd: to a socket whose name is in
// NOTIFY_SOCKET.
type notices struct {
	path string
	conn *net.UnixConn

	// goesOn has a value when the command has said that it goes on, and stops when it has said that
	// it doesn't.
	goesOn, stops chan struct{}
}

func newNotices() (*notices, error) {
	dir, err := os.MkdirTemp("", "lease-notify-")
	if err != nil {
		return nil, err
	}
	n := &notices{
		path:   filepath.Join(dir, "socket"),
		goesOn: make(chan struct{}, 1),
		stops:  make(chan struct{}, 1),
	}
	n.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: n.path, Net: "unixgram"})
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	go n.read()
	return n, nil
}

func (n *notices) close() {
	n.conn.Close()
	os.RemoveAll(filepath.Dir(n.path))
}

// read reads what the command says. Of that only its watchdog is of use here.
func (n *notices) read() {
	for buffer := make([]byte, 4096); ; {
		length, err := n.conn.Read(buffer)
		if err != nil {
			return
		}
		for line := range strings.Lines(string(buffer[:length])) {
			switch strings.TrimSpace(line) {
			case "WATCHDOG=1":
				note(n.goesOn)
			case "WATCHDOG=trigger":
				note(n.stops)
			}
		}
	}
}

// note leaves a value for who will look.
func note(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
