package lease

// Which items a share takes part in.

// sortOut tells the items of a look that this worker takes part in from the others.
func (s *share) sortOut(seen page) page {
	if s.takesPartIn == nil {
		return seen
	}
	all := seen.items
	seen.items = nil
	for _, item := range all {
		if s.takesPartIn(item.LeaseID) {
			seen.items = append(seen.items, item)
		} else {
			seen.outside = append(seen.outside, item)
		}
	}
	return seen
}

// giveUpOutside ends the works on items in which this worker has no part any more, as if an
// operator wanted them freed.
func (s *share) giveUpOutside(items []LeaseItem) {
	for _, item := range items {
		t := s.works[item.LeaseID]
		is := t.check()
		if is.phase != held { // It is ending already.
			continue
		}
		logInfo("Lease Given Up", "lessee_id", s.request.lessee, "lease_id", item.LeaseID,
			"reason", "the worker takes part in this item no more: Items says so")
		t.happen(fact{kind: wishSeen, wish: wish{until: is.rowEnd()}})
	}
}
