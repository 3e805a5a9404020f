package leasetest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

func TestCountsAreOfAllThatIsSent(t *testing.T) {
	s := leasetest.NewStore("a")
	assert.Zero(t, s.Counts())
	l, err := s.Lease("a", for30s("w1"), time.Now().Add(time.Minute))
	require.NoError(t, err)
	_, err = s.Lease("a", for30s("w2"), time.Now().Add(time.Minute))
	require.Error(t, err)
	_, err = s.Lease("", nil, time.Time{})
	require.Error(t, err, "not sent")
	require.NoError(t, s.RenewLease(l, time.Now().Add(time.Hour)))
	require.NoError(t, s.RenewLease(l, time.Now()), "refused, but fine")
	require.NoError(t, s.AddLeaseID("b", nil))
	require.Error(t, s.AddLeaseID("b", nil))
	require.NoError(t, s.RemoveLeaseID("b"))
	s.SetPageSize(1)
	_, err = s.ListLeaseIDs()
	require.NoError(t, err)
	s.SetOutage(true)
	require.Error(t, s.ReleaseLease(l))
	s.SetOutage(false)
	require.NoError(t, s.ReleaseLease(l))
	_, err = s.GetLeaseItem(t.Context(), "a")
	require.NoError(t, err)
	_, err = s.GetLeaseItem(t.Context(), "none")
	require.Error(t, err, "which an answer says")
	got := s.Counts()
	want := leasetest.Counts{
		Scans:         1,
		Reads:         2,
		Leases:        2,
		Renewals:      2,
		Releases:      2,
		Registrations: 2,
		Retirements:   1,
		Refused:       3,
		Faulty:        1,
	}
	assert.Equal(t, want, got)
	assert.Equal(t, 9, got.Writes())
	assert.Equal(t, 12, got.Requests())
}

func TestCountsOfLeaseAsSeenAreLeases(t *testing.T) {
	s := leasetest.NewStore("a")
	lease30s := func(seen lease.LeaseItem, lessee for30s) (*lease.Lease, error) {
		return s.LeaseAsSeen(t.Context(), seen, nil, lessee, time.Now().Add(30*time.Second))
	}
	free := lease.LeaseItem{LeaseID: "a"}
	_, err := lease30s(free, "w1")
	require.NoError(t, err)
	assert.Equal(t, leasetest.Counts{Leases: 1}, s.Counts())
	_, err = lease30s(free, "w2")
	require.Equal(t, lease.LeaseNotObtainedError, err)
	assert.Equal(t, leasetest.Counts{Leases: 2, Refused: 1}, s.Counts())
	_, err = lease30s(free, "w1")
	require.NoError(t, err)
	assert.Equal(t, leasetest.Counts{Leases: 4, Refused: 2}, s.Counts(),
		"once more, as the refusal shows it")
	_, err = lease30s(lease.LeaseItem{}, "w1")
	require.Error(t, err, "not sent")
	s.SetOutage(true)
	_, err = lease30s(free, "w1")
	require.Equal(t, leasetest.OutageError, err)
	assert.Equal(t, leasetest.Counts{Leases: 5, Refused: 2, Faulty: 1}, s.Counts())
}
