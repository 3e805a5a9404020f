// Command benchtable reads the output of go test -bench from standard input and writes its metrics as
// a table into a Markdown file, between the lines <!-- bench --> and <!-- /bench -->:
//
//	go test -run '^$' -bench 'Obtain|Renew$|Release|Standby|ColdStart' -benchtime 3x . | go run ./internal/benchtable BENCHMARKS.md
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// columns are the metrics that are shown, in order.
var columns = []string{"requests/op", "refused/op", "RCU/op", "WCU/op"}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go test -bench … | benchtable FILE.md")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "benchtable:", err)
		os.Exit(1)
	}
}

func run(path string, bench io.Reader) error {
	table, err := render(bench)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(text, []byte("<!-- bench -->\n"))
	_, after, ok2 := bytes.Cut(rest, []byte("<!-- /bench -->\n"))
	if !ok || !ok2 {
		return fmt.Errorf("%s has no lines <!-- bench --> and <!-- /bench -->", path)
	}
	return os.WriteFile(path, fmt.Appendf(nil, "%s<!-- bench -->\n%s<!-- /bench -->\n%s", before, table, after), 0o644)
}

// render makes the table of all benchmarks that report the metrics.
func render(bench io.Reader) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "| | %s |\n|---%s|\n", strings.Join(columns, " | "), strings.Repeat("|---:", len(columns)))
	rows := 0
	lines := bufio.NewScanner(bench)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 3 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		metrics := make(map[string]string)
		for i := 2; i+1 < len(fields); i += 2 {
			metrics[fields[i+1]] = fields[i]
		}
		name := strings.TrimPrefix(fields[0], "Benchmark")
		if i := strings.LastIndex(name, "-"); i > 0 {
			name = name[:i] // GOMAXPROCS
		}
		fmt.Fprintf(&b, "| %s |", strings.NewReplacer("/", " ", "=", " ").Replace(name))
		for _, column := range columns {
			fmt.Fprintf(&b, " %s |", metrics[column])
		}
		b.WriteString("\n")
		rows++
	}
	if rows == 0 {
		return "", errors.New("no benchmark on standard input")
	}
	return b.String(), lines.Err()
}
