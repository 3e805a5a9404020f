package main

import (
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/term"
)

// screen is a terminal that shows lines in place of what was on it, until it is closed.
type screen struct {
	in, out *os.File
	before  *term.State // of the input, nil if that is no terminal
	keys    <-chan string
	resized chan os.Signal
	resumed chan os.Signal // after a stop, in which others may have used the terminal
	close   func()
}

type line struct {
	text string
	bold bool
}

// The alternate screen, no cursor, and lines that are cut at the margin; and the way back.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l"
	leaveScreen = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
)

func openScreen(in, out *os.File) (*screen, error) {
	s := &screen{
		in:      in,
		out:     out,
		resized: make(chan os.Signal, 1),
		resumed: make(chan os.Signal, 1),
	}
	s.close = sync.OnceFunc(s.leave)
	if err := s.enter(); err != nil {
		s.close()
		return nil, err
	}
	signal.Notify(s.resized, syscall.SIGWINCH)
	signal.Notify(s.resumed, syscall.SIGCONT)
	if s.before != nil {
		keys := make(chan string)
		s.keys = keys
		go readKeys(in, keys)
	}
	return s, nil
}

// leave gives the terminal back as it was.
func (s *screen) leave() {
	signal.Stop(s.resized)
	signal.Stop(s.resumed)
	io.WriteString(s.out, leaveScreen)
	if s.before != nil {
		term.Restore(int(s.in.Fd()), s.before)
	}
}

// enter takes the terminal: keys come one by one, and aren't shown.
func (s *screen) enter() error {
	if isTerminal(s.in) {
		state, err := term.MakeRaw(int(s.in.Fd()))
		if err != nil {
			return err
		}
		if s.before == nil {
			s.before = state
		}
	}
	_, err := io.WriteString(s.out, enterScreen)
	return err
}

// readKeys sends the keys that are pressed. One that moves comes as several bytes, all at once.
func readKeys(in *os.File, keys chan<- string) {
	defer close(keys)
	for buffer := make([]byte, 64); ; {
		n, err := in.Read(buffer)
		if err != nil {
			return
		}
		for text := buffer[:n]; len(text) > 0; {
			length := keyLength(text)
			keys <- string(text[:length])
			text = text[length:]
		}
	}
}

// keyLength tells how long the first key is: one byte, or ESC [ or ESC O, numbers, and a letter
// or ~.
func keyLength(text []byte) int {
	if !isSequence(text) {
		return 1
	}
	const start = 2
	for n, c := range text[start:] {
		if c >= '@' && c <= '~' {
			return start + n + 1
		}
	}
	return len(text)
}

// isSequence tells whether a text begins with a key of several bytes.
func isSequence(text []byte) bool {
	if len(text) < 3 || text[0] != '\x1b' {
		return false
	}
	return text[1] == '[' || text[1] == 'O'
}

// draw shows the lines that are laid out for the screen's height, as far as they fit.
func (s *screen) draw(layout func(height int) []line) {
	width, height := s.size()
	lines := layout(height)
	shown := lines[:min(height, len(lines))]
	var b strings.Builder
	b.WriteString("\x1b[H")
	for n, l := range shown {
		if n > 0 {
			b.WriteString("\r\n")
		}

		// Before it: after a full line the cursor is still on its last character.
		b.WriteString("\x1b[2K")
		b.WriteString(l.cut(width))
	}
	if len(lines) < height {
		b.WriteString("\r\n\x1b[J")
	}
	io.WriteString(s.out, b.String())
}

func (s *screen) size() (width, height int) {
	width, height, err := term.GetSize(int(s.out.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}

// cut returns a line as it is written to a screen of that width.
func (l line) cut(width int) string {
	text := []rune(l.text)
	shown := string(text[:min(len(text), width)])
	if l.bold {
		return "\x1b[1m" + shown + "\x1b[0m"
	}
	return shown
}
