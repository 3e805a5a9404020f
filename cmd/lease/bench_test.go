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
					var sum counts
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
