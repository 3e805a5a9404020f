package page

import (
	"cmp"
	"slices"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/history"
)

// isDouble tells whether two processes were seen under one name, of late.
func isDouble(h history.Holder, now time.Time) bool {
	const ofLate = 10 * time.Minute
	return !h.Double.IsZero() && now.Sub(h.Double) < ofLate
}

// holderRow is a holder as the view of them has it.
type holderRow struct {
	Holder   string   `json:"holder"`
	Items    int      `json:"items"`
	Weight   float64  `json:"weight"`
	Capacity float64  `json:"capacity"`
	Load     float64  `json:"load"`
	Obtained int      `json:"obtained"` // in the window
	Given    int      `json:"given"`
	Lost     int      `json:"lost"`
	Renewed  *float64 `json:"renewed_seconds_ago,omitempty"`
	Lease    float64  `json:"lease_seconds,omitempty"`
	Since    string   `json:"since"`
	Late     bool     `json:"late,omitempty"`
	Double   bool     `json:"double,omitempty"`
	Gone     bool     `json:"gone,omitempty"` // it has nothing now
	Fell     bool     `json:"fell,omitempty"`

	Share float64       `json:"-"` // of the greatest load, in hundredths
	Ago   time.Duration `json:"-"`
	Began time.Time     `json:"-"`
}

type holdersView struct {
	asOf
	Holders []holderRow `json:"holders"`
	Mean    float64     `json:"mean_load"`
	MeanAt  float64     `json:"-"`
}

func (v *view) holders() (any, error) {
	churns, err := v.History.Churns(v.ctx, v.window.From)
	if err != nil {
		return nil, err
	}
	hv := holdersOf(v.present.Holders, churns, v.present.Clock)
	hv.asOf = v.asOf()
	return hv, nil
}

// holdersOf lists holders: those that need looking after first, then by load.
func holdersOf(all []history.Holder, churns map[string]history.Churn, now time.Time) holdersView {
	v := holdersView{Holders: []holderRow{}}
	most, weight, capacity := 0.0, 0.0, 0.0
	for _, h := range all {
		v.Holders = append(v.Holders, rowOf(h, churns[h.Name], now))
		if h.Items > 0 {
			most = max(most, h.Load())
			weight += h.Weight
			capacity += h.Capacity
		}
	}
	if capacity > 0 {
		v.Mean = weight / capacity
		v.MeanAt = 100 * v.Mean / most
	}
	for n := range v.Holders {
		if most > 0 {
			v.Holders[n].Share = 100 * v.Holders[n].Load / most
		}
	}
	slices.SortStableFunc(v.Holders, func(a, b holderRow) int {
		byRank := cmp.Compare(a.rank(), b.rank())
		byLoad := cmp.Compare(b.Load, a.Load)
		return cmp.Or(byRank, byLoad, cmp.Compare(a.Holder, b.Holder))
	})
	return v
}

// rank is lower for those that need looking after.
func (r holderRow) rank() int {
	switch {
	case r.Double:
		return 0
	case r.Late:
		return 1
	case r.Gone:
		return 3
	}
	return 2
}

func rowOf(h history.Holder, c history.Churn, now time.Time) holderRow {
	r := holderRow{
		Holder: h.Name, Items: h.Items, Weight: h.Weight, Capacity: h.Capacity, Load: h.Load(),
		Obtained: c.Obtained, Given: c.Given, Lost: c.Lost,
		Lease: h.Lease.Round(time.Second).Seconds(),
		Late:  h.IsLate(now), Double: isDouble(h, now), Gone: h.Items == 0, Fell: h.Fell,
		Since: fleetTime(h.Since), Began: h.Since,
	}
	if !h.Renewed.IsZero() {
		r.Ago = now.Sub(h.Renewed)
		seconds := r.Ago.Seconds()
		r.Renewed = &seconds
	}
	return r
}
