package alerttest

import (
	"context"
	"maps"
	"math"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/util/teststorage"
)

const alertsFile = "../alerts.yaml"

// lookback is Prometheus' default.
const lookback = 5 * time.Minute

// engine is a Prometheus that has stored a recording.
type engine struct {
	t         *testing.T
	recording *recording
	storage   *teststorage.TestStorage
	queries   *promql.Engine
}

func newEngine(t *testing.T, r *recording) *engine {
	t.Helper()
	e := &engine{
		t:         t,
		recording: r,
		storage:   teststorage.New(t),
		queries:   promqltest.NewTestEngine(t, false, lookback, 10_000_000),
	}
	appender := e.storage.Appender(t.Context())
	for _, s := range r.samples {
		if _, err := appender.Append(0, s.series, s.at, s.value); err != nil {
			t.Fatalf("%v at %d: %v", s.series, s.at, err)
		}
	}
	if err := appender.Commit(); err != nil {
		t.Fatal(err)
	}
	return e
}

// alert is one that has fired.
type alert struct {
	after       time.Duration // since the recording's begin
	labels      labels.Labels
	annotations labels.Labels
}

// fired evaluates the rules all along, and returns how each that fired did so first.
func (e *engine) fired() map[string]alert {
	e.t.Helper()
	groups := e.loadRules()
	fired := make(map[string]alert)
	for at := e.recording.begins; !at.After(e.recording.ends); at = at.Add(30 * time.Second) {
		for _, group := range groups {
			group.Eval(e.t.Context(), at)
			for _, rule := range group.AlertingRules() {
				if err := rule.LastError(); err != nil {
					e.t.Fatalf("%s: %v", rule.Name(), err)
				}
				first, fires := e.firing(rule, at)
				if _, isKnown := fired[rule.Name()]; fires && !isKnown {
					fired[rule.Name()] = first
				}
			}
		}
	}
	return fired
}

// firing returns an alert of a rule that fires now.
func (e *engine) firing(rule *rules.AlertingRule, at time.Time) (alert, bool) {
	for _, a := range rule.ActiveAlerts() {
		if a.State == rules.StateFiring && a.ResolvedAt.IsZero() {
			return alert{at.Sub(e.recording.begins), a.Labels, a.Annotations}, true
		}
	}
	return alert{}, false
}

func (e *engine) loadRules() map[string]*rules.Group {
	e.t.Helper()
	options := &rules.ManagerOptions{
		ExternalURL: &url.URL{Scheme: "http", Host: "prometheus"},
		QueryFunc:   rules.EngineQueryFunc(e.queries, e.storage),
		NotifyFunc:  func(context.Context, string, ...*rules.Alert) {},
		Context:     e.t.Context(),
		Appendable:  e.storage,
		Queryable:   e.storage,
		Logger:      promslog.NewNopLogger(),
		Parser:      parser.NewParser(parser.Options{}),
	}
	manager := rules.NewManager(options)
	groups, errs := manager.LoadGroups(
		30*time.Second, labels.EmptyLabels(), "", nil, false, alertsFile)
	for _, err := range errs {
		e.t.Fatal(err)
	}
	return groups
}

// ruleNames are those of alerts.yaml.
func (e *engine) ruleNames() []string {
	var names []string
	for _, group := range e.loadRules() {
		for _, rule := range group.AlertingRules() {
			names = append(names, rule.Name())
		}
	}
	return names
}

// query returns how many series with a value a query has at that time.
func (e *engine) query(expr string, at time.Time) (n int) {
	e.t.Helper()
	q, err := e.queries.NewInstantQuery(e.t.Context(), e.storage, nil, expr, at)
	if err != nil {
		e.t.Fatalf("%s: %v", expr, err)
	}
	defer q.Close()
	result := q.Exec(e.t.Context())
	vector, err := result.Vector()
	if err != nil {
		e.t.Fatalf("%s: %v", expr, err)
	}
	for _, sample := range vector {
		if !math.IsNaN(sample.F) {
			n++
		}
	}
	return n
}

// metricsOf are the metrics that an expression names.
func metricsOf(t *testing.T, expr string) map[string]bool {
	t.Helper()
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	names := make(map[string]bool)
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		if selector, ok := node.(*parser.VectorSelector); ok {
			names[selector.Name] = true
		}
		return nil
	})
	return names
}

// metrics are those that a recording has.
func (r *recording) metrics() map[string]bool {
	names := make(map[string]bool)
	for _, s := range r.samples {
		names[s.series.Get("__name__")] = true
	}
	return names
}

// wantExisting checks that an expression names metrics, and none that nobody shows.
func wantExisting(t *testing.T, where, expr string, existing map[string]bool) {
	t.Helper()
	named := metricsOf(t, expr)
	if len(named) == 0 {
		t.Errorf("%s: %q names no metric", where, expr)
	}
	for name := range maps.Keys(named) {
		if !existing[name] {
			t.Errorf("%s: %q names %s, which the collector doesn't show", where, expr, name)
		}
	}
}

// isFilledIn tells that a template was expanded, and found what it names: there is no gap.
func isFilledIn(text string) bool {
	for _, trace := range []string{"{{", "<no value>", "<error", " .", " ,"} {
		if strings.Contains(text, trace) {
			return false
		}
	}
	isWhole := text == strings.Join(strings.Fields(text), " ")
	return isWhole && text != ""
}
