package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// mutant is one change.
type mutant struct {
	what  string // it breaks
	file  string
	from  []string // lines of the source, without the space around them
	to    []string // what they become
	tests []test   // that should see it, the quickest first
}

// test is a call of go test.
type test struct {
	folder string
	run    string
}

// parse reads the list: paragraphs of a line that begins with #, which says what is broken; one
// with the file and, after it, the tests' names, with their folder before a colon if it isn't the
// file's own; and then lines of the source with - before them, what they become with +, and with a
// space those that stay. How the source is indented doesn't matter.
func parse(text string) ([]mutant, error) {
	var mutants []mutant
	for _, paragraph := range strings.Split(text, "\n\n") {
		lines := strings.Split(strings.Trim(paragraph, "\n"), "\n")
		what, isMutant := strings.CutPrefix(lines[0], "# ")
		if !isMutant {
			continue
		}
		m, err := parseMutant(what, lines[1:])
		if err != nil {
			return nil, fmt.Errorf("%q: %w", what, err)
		}
		mutants = append(mutants, m)
	}
	return mutants, nil
}

func parseMutant(what string, lines []string) (mutant, error) {
	if len(lines) < 2 {
		return mutant{}, fmt.Errorf("want a line with the file and the tests, and the change")
	}
	words := strings.Fields(lines[0])
	if len(words) < 2 {
		return mutant{}, fmt.Errorf("want a file and tests, not %q", lines[0])
	}
	m := mutant{what: what, file: words[0]}
	for _, word := range words[1:] {
		t := parseTest(m.file, word)
		if _, err := regexp.Compile(t.run); err != nil {
			return mutant{}, err
		}
		m.tests = append(m.tests, t)
	}
	for _, line := range lines[1:] {
		text := strings.TrimSpace(line[1:])
		switch line[0] {
		case '-':
			m.from = append(m.from, text)
		case '+':
			m.to = append(m.to, text)
		case ' ':
			m.from = append(m.from, text)
			m.to = append(m.to, text)
		default:
			return mutant{}, fmt.Errorf("want a line with -, + or a space before it, not %q", line)
		}
	}
	if slices.Equal(m.from, m.to) {
		return mutant{}, fmt.Errorf("it changes nothing")
	}
	return m, nil
}

// parseTest reads the names of tests, as go test -run wants them.
func parseTest(file, word string) test {
	if folder, run, hasFolder := strings.Cut(word, ":"); hasFolder {
		return test{folder: folder, run: run}
	}
	folder := "."
	if i := strings.LastIndex(file, "/"); i >= 0 {
		folder = file[:i]
	}
	return test{folder: folder, run: word}
}

// apply returns the source with the change made. It is an error if that fits none or several
// places.
func (m mutant) apply(source string) (string, error) {
	lines := strings.Split(source, "\n")
	places := m.places(lines)
	if len(places) != 1 {
		return "", fmt.Errorf("%d places in the source; want 1", len(places))
	}
	end := places[0] + len(m.from)
	changed := slices.Concat(lines[:places[0]], m.to, lines[end:])
	return strings.Join(changed, "\n"), nil
}

// places returns where in the source the lines are that are to be changed.
func (m mutant) places(source []string) (places []int) {
	for i := range source {
		if m.fits(source[i:]) {
			places = append(places, i)
		}
	}
	return places
}

// fits tells that the source begins with the lines that are to be changed.
func (m mutant) fits(source []string) bool {
	if len(source) < len(m.from) {
		return false
	}
	return slices.EqualFunc(source[:len(m.from)], m.from, func(line, want string) bool {
		return strings.TrimSpace(line) == want
	})
}
