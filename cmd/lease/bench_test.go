package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
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

// BenchmarkPage shows 5,000 rows of 50 holders, who renew all of them each 10 seconds and move some, to a browser that asks each
// 2 seconds. It tells how much of a core and how much memory that takes, the units of a look, and how long a page takes: with
// -benchtime 30x for a minute.
func BenchmarkPage(b *testing.B) {
	const rows, holders, most, mostMB = 5000, 50, 40, 200
	f := newFixture(b)
	renew := func(round int) {
		f.fillFor(rows, func(i int) string {
			if i%holders == 0 {
				i += round
			}
			return fmt.Sprintf("worker-%02d", i%holders)
		})
	}
	renew(0)
	for path, name := range map[string]string{"/": "fleet", "/items": "items"} {
		b.Run(name, func(b *testing.B) {
			p, base := startPage(b, f)
			peak := make(chan float64)
			go func() { peak <- highWater(p.Process.Pid) }()
			over, renewed := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(renewed)
				for round := 1; ; round++ {
					select {
					case <-over:
						return
					case <-time.After(10 * time.Second):
						renew(round)
					}
				}
			}()
			var took time.Duration
			bytes := 0
			began, before := time.Now(), processorTime(b, p.Process.Pid)
			for b.Loop() {
				time.Sleep(2 * time.Second)
				asked := time.Now()
				bytes = len(fetch(b, base+path))
				took += time.Since(asked)
			}
			used := processorTime(b, p.Process.Pid) - before
			lasted := time.Since(began)
			var units, looks float64
			for line := range strings.Lines(fetch(b, base+"/metrics")) {
				fmt.Sscanf(line, "lease_page_read_units_total %f", &units)
				fmt.Sscanf(line, "lease_page_looks_total %f", &looks)
			}
			close(over)
			<-renewed
			require.NoError(b, p.Process.Signal(syscall.SIGTERM))
			require.Equal(b, 0, p.wait().status)
			share := 100 * used.Seconds() / lasted.Seconds()
			b.ReportMetric(share, "%core")
			mb := <-peak
			b.ReportMetric(mb, "peak-MB")
			b.ReportMetric(units/looks, "RCU/look")
			b.ReportMetric(took.Seconds()*1000/float64(b.N), "ms/page")
			b.ReportMetric(float64(bytes)/1000, "KB/page")
			require.Less(b, share, float64(most))
			require.Less(b, mb, float64(mostMB))
		})
	}
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
