package leasetest

// Counts are the requests that a client sent, by kind. A call with bad input or a context that
// was done before sends none. Listing sends one Scan for each page.
type Counts struct {
	Scans         int
	Reads         int // GetLeaseItem
	Leases        int
	Renewals      int
	Releases      int
	Wishes        int // WantLease
	Withdrawals   int // WithdrawWish
	Handovers     int // HandOverLease, whether that handed over or released
	Saves         int // SaveAttributes
	Registrations int // AddLeaseID
	Retirements   int // RemoveLeaseID and RemoveLease

	Refused int // of the writes: how many were refused by their condition; they cost as much as others
	Faulty  int // of all: how many failed because of a switch
}

// Requests is how many requests were sent.
func (c Counts) Requests() int { return c.Scans + c.Reads + c.Writes() }

// Writes is how many requests were sent that may change a row.
func (c Counts) Writes() int {
	tenures := c.Leases + c.Renewals + c.Releases
	wishes := c.Wishes + c.Withdrawals + c.Handovers
	items := c.Saves + c.Registrations + c.Retirements
	return tenures + wishes + items
}

// Counts returns what this client has sent so far.
func (s *Store) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}
