package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/stretchr/testify/require"
)

// BenchmarkList lists 100,000 rows of some 90 bytes, by the command in a process of its own.
func BenchmarkList(b *testing.B) {
	const rows, most = 100_000, 100 // MB
	f := newFixture(b)
	f.fill(rows)
	for _, format := range []string{"text", "json"} {
		b.Run(format, func(b *testing.B) {
			var peak, units float64
			for b.Loop() {
				out, err := os.CreateTemp(b.TempDir(), "list")
				require.NoError(b, err)
				cmd := exec.Command(binary(b), "list")
				if format == "json" {
					cmd.Args = append(cmd.Args, "-json")
				}
				cmd.Env, cmd.Stdout, cmd.Stderr = f.env, out, os.Stderr
				require.NoError(b, cmd.Start())
				ended := make(chan float64)
				go func() { ended <- highWater(cmd.Process.Pid) }()
				err = cmd.Wait()
				peak = max(peak, <-ended)
				require.NoError(b, err)
				text, err := os.ReadFile(out.Name())
				require.NoError(b, err)
				require.NoError(b, out.Close())
				require.Greater(b, strings.Count(string(text), "\n"), rows)
				if format == "json" {
					var sum fleet.Counts
					lines := strings.Split(strings.TrimSpace(string(text)), "\n")
					require.NoError(b, json.Unmarshal([]byte(lines[len(lines)-1]), &sum))
					require.Equal(b, rows, sum.Held)
					units += sum.ReadUnits
				} else {
					var sum float64
					_, end, _ := strings.Cut(string(text[strings.LastIndex(string(text), "("):]), "(")
					require.NoError(b, json.Unmarshal([]byte(strings.Fields(end)[0]), &sum))
					units += sum
				}
			}
			b.ReportMetric(units/float64(b.N), "RCU/op")
			b.ReportMetric(peak, "peak-MB")
			require.Less(b, peak, float64(most))
		})
	}
}

// highWater follows a process to its end, and returns the most memory it had, in MB. Its rusage would say what this process
// had, of which it was a copy at first.
func highWater(pid int) (peak float64) {
	for ; ; time.Sleep(2 * time.Millisecond) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		_, rest, found := strings.Cut(string(status), "VmHWM:")
		if err != nil || !found { // It has ended.
			return peak
		}
		kB, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
		peak = max(peak, kB*1024/1e6)
	}
}

// BenchmarkWatch watches 5,000 rows on a terminal, and tells how much of a core that takes: with -benchtime 10x for 20 seconds.
func BenchmarkWatch(b *testing.B) {
	const rows, most = 5000, 10 // %
	f := newFixture(b)
	f.fill(rows)
	x := f.onTerminal(80, 24, "watch")
	x.line(`^5000 items: 5000 held`)
	began, before := time.Now(), processorTime(b, x.Process.Pid)
	for b.Loop() {
		time.Sleep(2 * time.Second)
	}
	used := processorTime(b, x.Process.Pid) - before
	share := 100 * used.Seconds() / time.Since(began).Seconds()
	b.ReportMetric(share, "%core")
	x.press("q")
	require.Equal(b, 0, x.end())
	require.Less(b, share, float64(most))
}

// processorTime is what a process has had of the processor.
func processorTime(tb testing.TB, pid int) time.Duration {
	const tick = 10 * time.Millisecond
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(tb, err)
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	const user, system = 11, 12
	var sum time.Duration
	for _, n := range []int{user, system} {
		ticks, err := strconv.Atoi(fields[n])
		require.NoError(tb, err)
		sum += time.Duration(ticks) * tick
	}
	return sum
}
