package main

import (
	"fmt"
	"strings"
)

// mutant is one change.
type mutant struct {
	what  string // it breaks
	file  string
	from  string // lines of the source
	to    string // what they become
	tests []test // that should see it, the quickest first
}

// test is a call of go test.
type test struct {
	folder string
	run    string
}

// parse reads the list: paragraphs of a line that begins with #, which says what is broken; one with
// the file and, after it, the tests' names, with their folder before a colon if it isn't the file's
// own; and then the lines of the source with - before them, and what they become with +.
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
		m.tests = append(m.tests, parseTest(m.file, word))
	}
	var from, to []string
	for _, line := range lines[1:] {
		switch {
		case strings.HasPrefix(line, "-"):
			from = append(from, line[1:])
		case strings.HasPrefix(line, "+"):
			to = append(to, line[1:])
		default:
			return mutant{}, fmt.Errorf("want a line with - or + before it, not %q", line)
		}
	}
	if len(from) == 0 {
		return mutant{}, fmt.Errorf("no line of the source")
	}
	m.from = strings.Join(from, "\n")
	m.to = strings.Join(to, "\n")
	return m, nil
}

// parseTest reads the names of tests, as go test -run wants them.
func parseTest(file, word string) test {
	if folder, run, hasFolder := strings.Cut(word, ":"); hasFolder {
		return test{folder: "./" + folder, run: run}
	}
	folder := "."
	if i := strings.LastIndex(file, "/"); i >= 0 {
		folder = "./" + file[:i]
	}
	return test{folder: folder, run: word}
}
