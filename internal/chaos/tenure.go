package chaos

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// never is later than all moments.
const never time.Duration = math.MaxInt64

// tenure is what the history tells about one tenure. What it doesn't tell of has not begun
// (never) or has not gone on (-never).
type tenure struct {
	Event // Obtained

	validFrom, validTo time.Duration // seen valid throughout
	over               time.Duration // the End of the first check that said so
	worked             time.Duration // the Begin of the last moment at which work went on
	resumed            int           // the number that it found; -1 if it didn't look

	renewed       time.Duration // the Begin of the last renewal
	freed         time.Duration // the End of what was before a release or handover was sent
	firstAccepted time.Duration // the End of the first guarded write
	lastAccepted  time.Duration // the Begin of the last one
	saves         []Event

	obtained, renewals, weights, releases, handovers, accepted, refused int
}

func newTenure() *tenure {
	return &tenure{
		validFrom: never, validTo: -never,
		over: never, worked: -never, resumed: -1,
		renewed: -never, freed: never,
		firstAccepted: never, lastAccepted: -never,
	}
}

// add takes an event of this tenure.
func (t *tenure) add(e Event) {
	t.addSeen(e)
	t.addWritten(e)
}

// addSeen takes what the holder saw.
func (t *tenure) addSeen(e Event) {
	switch e.Kind {
	case Obtained:
		t.Event = e
		t.obtained++
	case Valid:
		t.validFrom = min(t.validFrom, e.End)
		t.validTo = max(t.validTo, e.Begin)
	case Over:
		t.over = min(t.over, e.End)
	case Working:
		t.worked = max(t.worked, e.Begin)
	case Resumed:
		t.resumed = number(e)
	}
}

// addWritten takes what the holder wrote.
func (t *tenure) addWritten(e Event) {
	switch e.Kind {
	case Renewed:
		t.renewals++
		t.renewed = max(t.renewed, e.Begin)
	case Weighed:
		t.weights++
	case Released:
		t.releases++
	case HandedOver:
		t.releases++
		t.handovers++
	case Freeing:
		t.freed = min(t.freed, e.End)
	case Saved:
		t.saves = append(t.saves, e)
	case Accepted:
		t.accepted++
		t.firstAccepted = min(t.firstAccepted, e.End)
		t.lastAccepted = max(t.lastAccepted, e.Begin)
	case Refused:
		t.refused++
	}
}

// number returns the number in an event's note.
func number(e Event) int {
	n, err := strconv.Atoi(e.Note)
	if err != nil {
		panic(fmt.Sprintf("chaos: %+v has no number: %v", e, err))
	}
	return n
}

// wasSeen tells whether its holder ever saw it valid.
func (t *tenure) wasSeen() bool { return t.validFrom <= t.validTo }

// validAt tells whether it was valid at that moment for sure.
func (t *tenure) validAt(moment time.Duration) bool {
	return t.validFrom <= moment && moment <= t.validTo
}

func (t *tenure) String() string {
	return fmt.Sprintf("tenure %s (token %d, by %q, obtained at %v by a write of %v)",
		t.Tenure, t.Token, t.Lessee, t.End, t.Begin)
}
