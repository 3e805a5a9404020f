package browsertest

import (
	"fmt"
	"net/url"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const hostile = `<img src=x onerror=alert(1)>"'&` + "\u202e\x07" + `{{.}}%2f../`

// TestViewsShowAFleetThatOneJoinsOneDiesInAndOneHangs: three workers share items, a fourth joins, one
// is killed, and one is stopped, as a process that hangs is.
func TestViewsShowAFleetThatOneJoinsOneDiesInAndOneHangs(t *testing.T) {
	chromium(t)
	s := newSite(t)
	const most = 8 // items of a worker
	for n := range 24 {
		s.lease("add", fmt.Sprintf("box-%02d", n), "-set", "server=imap.example.com")
	}
	database := t.TempDir() + "/page.db"
	s.worker("host-1:4711", most)
	killed := s.worker("host-2:4712", most)
	hung := s.worker("host-3:4713", most)
	s.show("-db", database)
	s.await("three share all", func(items map[string]int) bool {
		return items["host-1:4711"] == 8 && items["host-2:4712"] == 8 && items["host-3:4713"] == 8
	})
	pause()
	s.worker("host-4:4714", most)
	s.await("a fourth has its share", func(items map[string]int) bool { return items["host-4:4714"] == 6 })
	pause()
	require.NoError(t, killed.Process.Kill())
	s.await("one has died", func(items map[string]int) bool {
		return items["host-2:4712"] == fallen && items["host-1:4711"] == 8 && items["host-3:4713"] == 8 && items["host-4:4714"] == 8
	})
	pause()
	require.NoError(t, hung.Process.Signal(syscall.SIGSTOP))
	s.await("one hangs", func(items map[string]int) bool { return items["host-3:4713"] == fallen })
	s.lease("add", hostile)
	pause()

	b := open(t, s.base)
	t.Run("fleet", func(t *testing.T) { b.t = t; viewFleet(b) })
	t.Run("holders", func(t *testing.T) { b.t = t; viewHolders(b) })
	t.Run("items", func(t *testing.T) { b.t = t; viewItems(b) })
	t.Run("item", func(t *testing.T) { b.t = t; viewItem(b, s) })
	t.Run("free", func(t *testing.T) { b.t = t; viewFree(b) })
	t.Run("live", func(t *testing.T) { b.t = t; viewLive(b, s) })
	t.Run("table", func(t *testing.T) { b.t = t; viewWithATable(b) })
	t.Run("phone", func(t *testing.T) { b.t = t; viewOnAPhone(b) })
	t.Run("keyboard", func(t *testing.T) { b.t = t; viewByKeyboard(b) })
	t.Run("zoom", func(t *testing.T) { b.t = t; viewZoomed(b) })
	t.Run("cost", func(t *testing.T) { b.t = t; viewCost(b) })
	t.Run("restarted", func(t *testing.T) { b.t = t; viewRestarted(b, s, database) })
	b.t = t
	b.done()
}

// pause leaves a time in the picture in which nothing happens. Nothing depends on it.
func pause() {
	if *screenshots != "" {
		time.Sleep(14 * time.Second)
	}
}

func viewFleet(b *browser) {
	b.visit("/")
	b.waitFor("it has seen the last change", `document.querySelector("#status").textContent.includes("25 items: 16 held")`)
	for _, want := range []string{"host-1:4711", "host-4:4714 joined", "host-2:4712 stopped renewing", "host-3:4713 stopped renewing", "nobody"} {
		assert.Contains(b.t, b.text("#picture"), want)
	}
	assert.Regexp(b.t, `25\s+items`, b.text(".cards"))
	assert.Regexp(b.t, `9\s+not worked on, longest`, b.text(".cards"))
	b.picture("fleet")
	b.light(false)
	b.picture("fleet-dark")
	b.light(true)
	b.visit("/?by=load")
	assert.Contains(b.t, b.text(".choice"), "divided by its capacity")
}

func viewHolders(b *browser) {
	b.visit("/holders")
	text := b.text("#holders table")
	assert.Regexp(b.t, `host-1:4711\s+8\s+8\s+1\s+8`, text)
	assert.Regexp(b.t, `host-2:4712\s+0.*its leases ended unrenewed`, text)
	b.picture("holders")
}

func viewItems(b *browser) {
	b.visit("/items")
	text := b.text("#items table")
	assert.Regexp(b.t, `box-\d\d\s+host-\d:47\d\d`, text)
	assert.Regexp(b.t, `not renewed in time by host-3:4713`, text)
	b.picture("items")
	b.run(chromedp.SetValue(chromedp.CSS("#filter"), "box-07"), chromedp.Submit(chromedp.CSS("#filter")))
	b.waitFor("the filter leaves one", `document.querySelectorAll("#items .strips tbody tr").length === 1`)
}

func viewItem(b *browser, s *site) {
	var free struct {
		Items []struct{ Item, Before string }
	}
	s.api("/api/free", &free)
	item := ""
	for _, i := range free.Items {
		if i.Before == "host-3:4713" {
			item = i.Item
		}
	}
	require.NotEmpty(b.t, item)
	b.visit("/item?name=" + url.QueryEscape(item))
	assert.Contains(b.t, b.text(".why"), "It is free, as host-3:4713 did not renew its lease")
	b.click("#attributes summary")
	assert.Contains(b.t, b.text("#attributes pre"), `"server": "imap.example.com"`)
	b.picture("item")

	b.visit("/item?name=" + url.QueryEscape(hostile))
	assert.Contains(b.t, b.text("h1"), `<img src=x onerror=`)
	assert.Contains(b.t, b.text(".why"), "nobody has ever leased it")
}

func viewFree(b *browser) {
	b.visit("/free")
	const text = `document.querySelector("#free").innerText`
	b.waitFor("two are at work, and nine items are left", // where leases have not ended on a busy machine
		text+`.includes("Nobody works on 9 items. 2 workers are at work.")`)
	b.waitFor("it says who had them", `/host-3:4713\s+8/.test(`+text+`)`)
	assert.Contains(b.t, b.text("#free"), `<img src=x onerror=`)
	b.picture("free")
}

// viewLive sees a change without a reload, and what is open stays open.
func viewLive(b *browser, s *site) {
	b.visit("/")
	b.click("#fleet-table summary")
	s.worker("host-5:4715", 8)
	b.waitFor("the newcomer is drawn", `document.querySelector("#picture").textContent.includes("host-5:4715 joined")`)
	b.waitFor("the table is still open", `document.querySelector("#fleet-table").open`)
	b.click("#pause")
	assert.Equal(b.t, "Paused: go on", b.text("#pause"))
}

// viewOnAPhone needs no scrolling but in pictures and tables, which stay where they were scrolled to.
func viewOnAPhone(b *browser) {
	b.run(chromedp.EmulateViewport(390, 844))
	for _, path := range []string{"/", "/holders", "/items", "/free", "/cost"} {
		b.visit(path)
		assert.True(b.t, get(b, chromedp.Evaluate[bool](`document.documentElement.scrollWidth <= 390`)), path)
	}
	b.visit("/items")
	assert.True(b.t, get(b, chromedp.Evaluate[bool](`document.querySelector("svg.strip").getBoundingClientRect().width > 200`)))
	const changed = `document.querySelector("svg.strip") !== window.strip && document.querySelector("#items .scroll").scrollLeft === 120`
	b.run(chromedp.Evaluate[chromedp.Void](
		`window.strip = document.querySelector("svg.strip"); document.querySelector("#items .scroll").scrollLeft = 120`))
	b.waitFor("a refresh leaves it where it was", changed)
	b.run(chromedp.EmulateViewport(1280, 800))
}

// viewWithATable has what a picture shows for those who can't see it.
func viewWithATable(b *browser) {
	b.visit("/items")
	b.click("#items-table summary")
	assert.Regexp(b.t, `free\s+not renewed in time by host-3:4713`, b.text("#items-table"))
}

func viewByKeyboard(b *browser) {
	b.visit("/")
	b.run(chromedp.Focus(chromedp.CSS("#picture")), chromedp.KeyEvent(kb.ArrowLeft), chromedp.KeyEvent(kb.ArrowLeft))
	b.waitFor("the arrows show what each had", `/host-1:4711/.test(document.querySelector(".tip")?.textContent)`)
	b.run(chromedp.Evaluate[chromedp.Void](`window.picture = document.querySelector("#picture")`))
	b.waitFor("a refresh leaves that, and the focus", `document.querySelector("#picture") !== window.picture &&
		document.activeElement.id === "picture" && /host-1:4711/.test(document.querySelector(".tip")?.textContent)`)
}

func viewZoomed(b *browser) {
	b.visit("/")
	const drag = `(() => {
		const p = document.querySelector("#picture"), box = p.getBoundingClientRect();
		const at = (type, share) => p.dispatchEvent(new PointerEvent(type,
			{clientX: box.left + box.width * share, clientY: box.top + 100, pointerId: 1, bubbles: true}));
		p.setPointerCapture = () => {};
		at("pointerdown", 0.5); at("pointermove", 0.7); at("pointerup", 0.7);
	})()`
	b.run(chromedp.Evaluate[chromedp.Void](drag))
	b.waitFor("it shows what was dragged over", `location.search.includes("from=") && document.querySelector("#picture") !== null`)
	looked := b.text(".status time")
	b.waitFor("what is of now goes on", fmt.Sprintf(`document.querySelector(".status time").textContent !== %q`, looked))
}

func viewCost(b *browser) {
	b.visit("/cost")
	b.waitFor("it is measured", `document.querySelector("#cost tbody") !== null`)
	assert.Regexp(b.t, `the fleet's writes, as seen\s+\d+\.\d\d\s+\$\d`, b.text("#cost"))
	b.waitFor("a minute is over", `document.querySelector("#cost path.writes") !== null`)
	b.picture("cost")
}

// viewRestarted starts the page anew with the same file: it goes on, and shows the gap.
func viewRestarted(b *browser, s *site, database string) {
	s.end()
	b.waitFor("the page says that it is cut off", `document.querySelector(".cut-off")?.textContent.includes("NOT LIVE; shown is what was at ")`)
	time.Sleep(12 * time.Second) // What is shorter isn't a gap.
	s.show("-db", database)
	b.move(s.base)
	pause()
	b.visit("/")
	text := b.text("#picture")
	assert.Contains(b.t, text, "not looked")
	assert.Contains(b.t, text, "host-2:4712 stopped renewing")
	b.picture("restarted")
}
