package say

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
)

// Confirm asks on the terminal.
func Confirm(ctx context.Context, question string) (bool, error) {
	fmt.Fprint(os.Stderr, question)
	answer := make(chan string, 1)
	go func() {
		line, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if err != nil {
			fmt.Fprintln(os.Stderr)
		}
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case line := <-answer:
		return line == "y" || line == "yes", nil
	case <-ctx.Done():
		fmt.Fprintln(os.Stderr)
		return false, context.Cause(ctx)
	}
}
