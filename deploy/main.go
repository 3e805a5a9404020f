// Deploy says what a fleet will cost, before there is one: see docs/deploy.md. Its directory has the
// files that that page is about, and the tests that hold them to what the library sends.
//
//	go run -C deploy .
//	go run -C deploy . -items 3000 -workers 12 -duration 1m
package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	text, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "deploy:", err)
		os.Exit(2)
	}
	fmt.Print(text)
}

// run returns what a fleet costs, or four if none is described.
func run(args []string) (string, error) {
	var f fleet
	var p prices
	flags := flag.NewFlagSet("deploy", flag.ContinueOnError)
	flags.IntVar(&f.items, "items", 0, "how many items there are; 0: show four sizes of fleets")
	flags.IntVar(&f.workers, "workers", 10, "how many workers share them")
	flags.DurationVar(&f.duration, "duration", 30*time.Second, "of a lease")
	flags.IntVar(&f.rowBytes, "row", usualRow, "the bytes of a row, all told")
	flags.Float64Var(&p.write, "write-price", writePrice, "dollars for a million write units")
	flags.Float64Var(&p.read, "read-price", readPrice, "dollars for a million read units")
	if err := flags.Parse(args); err != nil {
		return "", err
	}
	if flags.NArg() > 0 {
		return "", fmt.Errorf("it takes no arguments, and got %q", flags.Args())
	}
	if err := p.check(); err != nil {
		return "", err
	}
	if f.items == 0 {
		return report(fourSizes(), p), nil
	}
	if err := f.check(); err != nil {
		return "", err
	}
	return report([]fleet{f}, p), nil
}
