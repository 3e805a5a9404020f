package alerttest

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/intercom/lease"
)

// dashboard is what Grafana reads, as far as it is checked here.
type dashboard struct {
	UID    string
	Title  string
	Panels []panel
}

type panel struct {
	ID          int
	Title       string
	Description string
	Type        string
	GridPos     struct{ X, Y, W, H int }
	Targets     []struct {
		RefID string
		Expr  string
	}
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	text, err := os.ReadFile("../dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// filledIn is a query with Grafana's variables replaced.
func filledIn(expr string) string {
	return strings.NewReplacer(
		"$__rate_interval", "5m",
		"$job", ".*mailer",
		"$instance", ".*",
	).Replace(expr)
}

// eventful is what is seen of a fleet to which everything happens that has a metric.
func eventful(t *testing.T) *recording {
	t.Helper()
	return simulate(t, 6, func(f *fleet) {
		slow := func(ctx context.Context, _ *lease.Lease) error {
			<-ctx.Done()
			time.Sleep(time.Second)
			return ctx.Err()
		}
		f.startSharing(2, slow)
		f.pass(20 * time.Minute)
		f.outage(15 * time.Second)
		f.start("w9").share("w9", 0, slow)
		f.pass(4 * time.Minute)
	})
}

// TestDashboardsPanelsAllShowSomething: each query is one that Prometheus understands, names
// metrics that exist, and has a result.
func TestDashboardsPanelsAllShowSomething(t *testing.T) {
	r := eventful(t)
	e := newEngine(t, r)
	queries := 0
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			queries++
			expr := filledIn(target.Expr)
			if strings.Contains(expr, "$") {
				t.Errorf("%s: %q has a variable that the dashboard hasn't", p.Title, target.Expr)
				continue
			}
			wantExisting(t, p.Title, expr, r.metrics())
			if e.query(expr, r.ends) == 0 {
				t.Errorf("%s: %q shows nothing", p.Title, target.Expr)
			}
		}
	}
	if queries == 0 {
		t.Error("the dashboard has no queries")
	}
}

// TestDashboardShowsEveryMetric: of the collector.
func TestDashboardShowsEveryMetric(t *testing.T) {
	shown := make(map[string]bool)
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			for name := range metricsOf(t, filledIn(target.Expr)) {
				shown[family(name)] = true
			}
		}
	}
	for name := range eventful(t).metrics() {
		if !shown[family(name)] {
			t.Errorf("no panel shows %s", family(name))
		}
	}
}

// family is a metric's name without what a histogram's series add to it.
func family(name string) string {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		name = strings.TrimSuffix(name, suffix)
	}
	return name
}

// TestDashboardIsLaidOut: panels have IDs of their own, say what they mean, and don't lie on one
// another.
func TestDashboardIsLaidOut(t *testing.T) {
	d := readDashboard(t)
	if d.UID == "" || d.Title == "" {
		t.Errorf("the dashboard has UID %q and title %q", d.UID, d.Title)
	}
	ids := make(map[int]string)
	cells := make(map[cell]string)
	for _, p := range d.Panels {
		if other, isTaken := ids[p.ID]; isTaken {
			t.Errorf("%q has the ID %d of %q", p.Title, p.ID, other)
		}
		ids[p.ID] = p.Title
		if !p.isExplained() {
			t.Errorf("panel %d has title %q and description %q", p.ID, p.Title, p.Description)
		}
		for _, c := range p.cells(t) {
			if other, isTaken := cells[c]; isTaken {
				t.Fatalf("%q lies on %q", p.Title, other)
			}
			cells[c] = p.Title
		}
	}
}

// isExplained tells that a panel says what it shows; of a row its title is enough.
func (p panel) isExplained() bool {
	if p.Type == "row" {
		return p.Title != ""
	}
	return p.Title != "" && p.Description != ""
}

// cell is a place in Grafana's grid.
type cell struct{ x, y int }

// cells are those on which a panel lies.
func (p panel) cells(t *testing.T) (all []cell) {
	t.Helper()
	const columns = 24
	at := p.GridPos
	if at.W <= 0 || at.H <= 0 || at.X+at.W > columns {
		t.Errorf("%q lies at %+v; want it within %d columns", p.Title, at, columns)
	}
	for x := at.X; x < at.X+at.W; x++ {
		for y := at.Y; y < at.Y+at.H; y++ {
			all = append(all, cell{x, y})
		}
	}
	return all
}
