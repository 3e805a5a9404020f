// Package browsertest looks at the pages of "lease page" in a real browser: headless Chromium, on a
// fleet of processes on DynamoDB Local. It is a module of its own, so that the command's doesn't
// have the browser's driver.
//
//	go test -C cmd/lease/browsertest .                                   # where Chromium is, or CI=1
//	go test -C cmd/lease/browsertest . -screenshots ../../../docs/page   # writes the pictures anew
package browsertest

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	screenshots = flag.String("screenshots", "", "write pictures of the views into this directory")
	needed      = flag.Bool("chromium", os.Getenv("CI") != "", "fail where there is no Chromium")
)

// chromium finds the browser; without one the test is skipped, unless it must be there.
func chromium(t *testing.T) string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const missing = "there is no Chromium here: apt-get install chromium"
	if *needed {
		t.Fatal(missing)
	}
	t.Skip(missing + " (with CI=1, or -chromium, it must be there)")
	return ""
}

// browser is a tab, and what has gone wrong in it.
type browser struct {
	t    *testing.T
	ctx  context.Context
	base string

	mu       sync.Mutex
	bases    []string // all that it may ask
	problems []string
}

// open starts a browser whose addresses begin with base.
func open(t *testing.T, base string) *browser {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium(t)),
		chromedp.NoSandbox, chromedp.WindowSize(1280, 800), chromedp.Flag("force-color-profile", "srgb"))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx, base: base, bases: []string{base}}
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate("about:blank"), chromedp.EmulateViewport(1280, 800)))
	require.NoError(t, chromedp.Listen(ctx, b.listen))
	return b
}

// move has the addresses begin with another base from now on.
func (b *browser) move(base string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.base = base
	b.bases = append(b.bases, base)
}

// isElsewhere tells of an address that is none of the page's.
func (b *browser) isElsewhere(address string) bool {
	isOf := func(base string) bool { return strings.HasPrefix(address, base+"/") }
	return !slices.ContainsFunc(b.bases, isOf)
}

// listen notes errors of scripts, refused loads, dialogs, and requests to elsewhere.
func (b *browser) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	problem := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		problem = "exception: " + e.ExceptionDetails.Text
	case *runtime.EventConsoleAPICalled:
		problem = "console: " + string(e.Type)
	case *network.EventRequestWillBeSent:
		if b.isElsewhere(e.Request.URL) {
			problem = "request to elsewhere: " + e.Request.URL
		}
	case *page.EventJavascriptDialogOpening:
		problem = "dialog: " + e.Message
	}
	if problem != "" {
		b.problems = append(b.problems, problem)
	}
}

// get runs an action that has a result.
func get[T any](b *browser, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 2*time.Minute)
	defer cancel()
	result, err := chromedp.Run(ctx, action)
	require.NoError(b.t, err)
	return result
}

func (b *browser) run(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	get(b, chromedp.Steps(actions...))
}

func (b *browser) visit(path string) {
	b.t.Helper()
	b.run(chromedp.Navigate(b.base + path))
}

// text is what there is to read in an element.
func (b *browser) text(selector string) string {
	b.t.Helper()
	const read = `(e => e?.innerText ?? e?.textContent ?? "")(document.querySelector(%q))` // SVG has no innerText
	return get(b, chromedp.Evaluate[string](fmt.Sprintf(read, selector)))
}

func (b *browser) click(selector string) { b.run(chromedp.Click(chromedp.CSS(selector))) }

// waitFor waits until a JavaScript expression holds, without a reload: the page refreshes itself, or
// leads to another.
func (b *browser) waitFor(what, expression string) {
	b.t.Helper()
	for range 600 {
		is, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](expression))
		if err == nil && is { // While a page is left for another there is an error.
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	require.Fail(b.t, "it never came: "+what)
}

func (b *browser) light(is bool) {
	scheme := "dark"
	if is {
		scheme = "light"
	}
	b.run(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return chromedp.Void{}, err
	})
}

// picture keeps what the window shows, where pictures are asked for.
func (b *browser) picture(name string) {
	b.t.Helper()
	shot := get(b, chromedp.CaptureScreenshot())
	seen, err := png.Decode(bytes.NewReader(shot))
	require.NoError(b.t, err)
	assert.Equal(b.t, image.Pt(1280, 800), seen.Bounds().Size())
	if *screenshots == "" {
		return
	}
	require.NoError(b.t, os.MkdirAll(*screenshots, 0o755))
	f, err := os.Create(filepath.Join(*screenshots, name+".png"))
	require.NoError(b.t, err)
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	require.NoError(b.t, encoder.Encode(f, reduced(seen)))
	require.NoError(b.t, f.Close())
}

// reduced is an image of the 256 colours that it has most of: a third of the bytes.
func reduced(seen image.Image) image.Image {
	counts := make(map[color.RGBA]int)
	bounds := seen.Bounds()
	for y := range bounds.Dy() {
		for x := range bounds.Dx() {
			counts[color.RGBAModel.Convert(seen.At(x, y)).(color.RGBA)]++
		}
	}
	var all []color.RGBA
	for c := range counts {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b color.RGBA) int { return counts[b] - counts[a] })
	var palette color.Palette
	for _, c := range all[:min(256, len(all))] {
		palette = append(palette, c)
	}
	out := image.NewPaletted(bounds, palette)
	draw.Draw(out, bounds, seen, bounds.Min, draw.Src)
	return out
}

// done asserts that nothing has gone wrong.
func (b *browser) done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	assert.Empty(b.t, b.problems)
}
