// Picture draws a run of examples/fleet: how many mailboxes each process held over time. It is a module of its own, so
// that the plotting library is none of lease's dependencies. From the repository's root:
//
//	go run ./examples/fleet -data examples/fleet/picture/fleet.csv
//	go run -C examples/fleet/picture . <examples/fleet/picture/fleet.csv >docs/fleet.svg
package main

import (
	"encoding/csv"
	"fmt"
	"image/color"
	"io"
	"log"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

func main() {
	r, err := read(os.Stdin)
	if err == nil {
		err = r.draw(os.Stdout)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// run is what the data say: counts[i][k] is what owners[k] held from seconds[i] on. The last owner is nobody.
type run struct {
	owners  []string
	seconds []float64
	counts  [][]float64
	scenes  []string
}

func read(in io.Reader) (*run, error) {
	rows, err := csv.NewReader(in).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) < 2 || len(rows[0]) < 3 {
		return nil, fmt.Errorf("want the data of examples/fleet on standard input")
	}
	n := len(rows[0])
	r := &run{owners: rows[0][1 : n-1]}
	for _, row := range rows[1:] {
		var numbers []float64
		for _, field := range row[:n-1] {
			x, err := strconv.ParseFloat(field, 64)
			if err != nil {
				return nil, err
			}
			numbers = append(numbers, x)
		}
		r.seconds, r.counts, r.scenes = append(r.seconds, numbers[0]), append(r.counts, numbers[1:]), append(r.scenes, row[n-1])
	}
	return r, nil
}

// The processes' colours, which people who are colour-blind can tell apart, and nobody's.
var (
	colours = []color.Color{rgb(0x4477aa), rgb(0xee9944), rgb(0x66bb88), rgb(0xaa77bb)}
	grey    = rgb(0xe4e4e4)
)

func rgb(x uint32) color.Color {
	return color.NRGBA{R: uint8(x >> 16), G: uint8(x >> 8), B: uint8(x), A: 255}
}

// every is a plot.Ticker with a tick at each multiple of it.
type every int

func (e every) Ticks(least, most float64) (ticks []plot.Tick) {
	for x := int(math.Ceil(least / float64(e))); float64(x*int(e)) <= most; x++ {
		ticks = append(ticks, plot.Tick{Value: float64(x * int(e)), Label: strconv.Itoa(x * int(e))})
	}
	return ticks
}

// draw draws the counts as bands on top of each other.
func (r *run) draw(out io.Writer) error {
	p := plot.New()
	p.Title.Text = "Mailboxes held by each process"
	p.Title.Padding = 30 // room for the scenes
	p.X.Label.Text = "seconds"
	p.X.Tick.Marker, p.Y.Tick.Marker = every(5), every(10)
	for _, style := range []*text.Style{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		style.Font.Variant, style.Font.Size = "Sans", 11
	}
	p.Title.TextStyle.Font.Size = 13
	legend := p.Legend // drawn beside the plot
	legend.Top, legend.Padding = true, 4
	p.X.Padding, p.Y.Padding = 0, 0

	bands := make([]*plotter.Polygon, len(r.owners)) // from top to bottom
	base := make([]float64, len(r.seconds))
	for k := range r.owners {
		fill := grey
		if k < len(r.owners)-1 {
			fill = colours[k%len(colours)]
		}
		top := make([]float64, len(base))
		for i := range base {
			top[i] = base[i] + r.counts[i][k]
		}
		lower, upper := r.steps(base), r.steps(top)
		slices.Reverse(lower)
		band, err := plotter.NewPolygon(append(upper, lower...))
		if err != nil {
			return err
		}
		band.Color, band.LineStyle.Width = fill, 0
		p.Add(band)
		bands[len(bands)-1-k] = band
		base = top
	}
	all := base[0]
	var labels plotter.XYLabels
	for i, scene := range r.scenes {
		if scene == "" {
			continue
		}
		line, err := plotter.NewLine(plotter.XYs{{X: r.seconds[i], Y: 0}, {X: r.seconds[i], Y: all}})
		if err != nil {
			return err
		}
		line.Dashes = []vg.Length{3, 3}
		p.Add(line)
		labels.XYs = append(labels.XYs, plotter.XY{X: r.seconds[i], Y: all})
		labels.Labels = append(labels.Labels, strings.ReplaceAll(scene, " for ", "\nfor "))
	}
	if len(labels.XYs) > 0 {
		texts, err := plotter.NewLabels(labels)
		if err != nil {
			return err
		}
		texts.Offset.Y = 4
		for i := range texts.TextStyle {
			texts.TextStyle[i].Font.Variant, texts.TextStyle[i].Font.Size = "Sans", 10
			texts.TextStyle[i].YAlign = draw.YBottom
		}
		p.Add(texts)
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, r.seconds[len(r.seconds)-1], 0, all

	for i, band := range bands {
		legend.Add(r.owners[len(bands)-1-i], band)
	}
	picture := vgsvg.New(9*vg.Inch, 3.6*vg.Inch)
	canvas := draw.New(picture)
	p.Draw(draw.Crop(canvas, 0, -90, 0, 0))
	legend.Draw(draw.Crop(canvas, 0, -4, 0, -50))
	var svg strings.Builder
	if _, err := picture.WriteTo(&svg); err != nil {
		return err
	}
	// Where the font isn't installed, one that is as wide.
	_, err := io.WriteString(out, strings.ReplaceAll(svg.String(), "font-family:Liberation Sans;", "font-family:Liberation Sans,Arial,Helvetica,sans-serif;"))
	return err
}

// steps is the line that keeps each value until the next one.
func (r *run) steps(values []float64) (line plotter.XYs) {
	for i, x := range r.seconds {
		switch {
		case i == 0:
		case line[len(line)-1].Y == values[i] && i < len(values)-1:
			continue
		default:
			line = append(line, plotter.XY{X: x, Y: line[len(line)-1].Y})
		}
		line = append(line, plotter.XY{X: x, Y: values[i]})
	}
	return line
}
