package say

import (
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/stretchr/testify/assert"
)

func TestShowQuotesWhatMisleads(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"a":       "a",
		"ünï 1":   "ünï 1",
		"":        `""`,
		"-":       `"-"`,
		"-x":      "-x",
		" a":      `" a"`,
		"a  b":    `"a  b"`,
		`"a"`:     `"\"a\""`,
		"a\n":     `"a\n"`,
		"\x1b[2J": `"\x1b[2J"`,
		"\u202e":  `"\u202e"`,
		"\xff":    `"\xff"`,
	} {
		assert.Equal(t, want, Name(name))
	}
}

func TestShortWritesADurationForPeople(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		49 * time.Hour:                       "2d",
		47*time.Hour + 1400*time.Millisecond: "47h0m1s",
		time.Minute:                          "1m0s",
		59940 * time.Millisecond:             "59.9s",
		30 * time.Millisecond:                "0s",
	} {
		assert.Equal(t, want, Duration(d))
	}
}

func TestOneLineIsOneLineThatNoTerminalTakesForACommand(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "a; b: c; d", Line(" a\nb\n\tc\r\nd\n"))
	assert.Equal(t, " [2J x", Line("\x1b[2J\u009bx"))
}

func TestShortenLeavesOutTheMiddle(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"mailbox-00001", "郵便受け郵便受け", "éé́éééééé", `"\x1b[2J"`, "👩‍🚀👩‍🚀👩‍🚀👩‍🚀👩‍🚀"} {
		for width := 1; width < 20; width++ {
			assert.LessOrEqual(t, ansi.StringWidth(Shorten(text, width)), width, text)
		}
	}
	assert.Equal(t, "mailbo…00001", Shorten("mailbox-00001", 12))
	assert.Equal(t, "mailbox-00001", Shorten("mailbox-00001", 13))
}
