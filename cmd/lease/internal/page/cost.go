package page

import (
	"time"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
)

// costView is what the fleet costs.
type costView struct {
	asOf
	fleet.Bill
	Seconds float64     `json:"measured_for_seconds"`
	Looks   float64     `json:"page_read_units_per_second"` // what this page's own looks take
	Dollars float64     `json:"page_dollars_per_month"`
	Minutes []costPoint `json:"minutes"`

	Lines  []costLine `json:"-"`
	XTicks []tick     `json:"-"`
	YTicks []tick     `json:"-"`
	Gaps   []bar      `json:"-"`
}

type costPoint struct {
	At      fleet.Moment `json:"at"`
	Items   int          `json:"items"`
	Workers int          `json:"workers"`
	Writes  float64      `json:"write_units_per_second"`
	Reads   float64      `json:"read_units_per_second"`
	Looks   float64      `json:"page_read_units_per_second"`
	Month   float64      `json:"dollars_per_month"`
}

const costStep = time.Minute // from one reckoning to the next

func (v *view) cost() (any, error) {
	prices := v.History.Prices
	cv := costView{asOf: v.asOf(), Bill: v.present.Bill, Minutes: []costPoint{}}
	cv.Seconds = v.present.Billed.Seconds()
	cv.Looks = v.present.Units / v.Every.Seconds()
	cv.Dollars = fleet.DollarsAMonth(cv.Looks, prices.Read)
	costs, err := v.History.Costs(v.ctx, v.window.From, v.window.To)
	if err != nil {
		return nil, err
	}
	for _, c := range costs {
		dollars := fleet.DollarsAMonth(c.Writes, prices.Write) +
			fleet.DollarsAMonth(c.Reads, prices.Read)
		cv.Minutes = append(cv.Minutes, costPoint{
			fleet.Moment(c.At.UnixNano()), c.Items, c.Workers, c.Writes, c.Reads, c.Looks, dollars,
		})
	}
	gaps, err := v.gaps()
	cv.Gaps = gapBars(gaps, v.window, plotLeft, plotWidth, plotTop, plotHeight)
	cv.Lines, cv.YTicks = costLines(costs, v.window)
	cv.XTicks = v.window.ticks(plotWidth, 9)
	return cv, err
}
