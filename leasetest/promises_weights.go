package leasetest

import (
	"cmp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
)

var weightPromises = []promise{
	{
		says:  "a renewal writes the weight that a Locker's lease has measured, and it stays with the item",
		items: one,
		test:  weightWritten,
	},
	{
		says:  "a renewal writes no weight that is near to the row's, nor one for a lease that has lost the item",
		items: one,
		test:  weightNotWritten,
	},
	{
		says: "an item may be registered with its weight, a number above 0",
		test: weightRegistered,
	},
	{
		says:  "a worker's capacity is the row's for as long as it holds the item",
		items: one,
		test:  capacityWritten,
	},
}

// weighs checks what a scan shows of the only item's weight; a store may show 0 for 1.
func (c *conformance) weighs(want float64) {
	c.Helper()
	c.equal("Weight in a scan", cmp.Or(c.row().Weight, 1), want)
}

// carries checks what a scan shows of its holder's capacity.
func (c *conformance) carries(want float64) {
	c.Helper()
	c.equal("Capacity in a scan", cmp.Or(c.row().Capacity, 1), want)
}

// measured returns a Locker's lease of the item, whose work has said a weight.
func (c *conformance) measured(weight float64) *lease.Lease {
	c.Helper()
	l := c.obtainBy(lease.NewLocker(c.StoreInterface), terms{"w1", long})
	l.SetWeight(weight)
	return l
}

func weightWritten(c *conformance) {
	c.weighs(1)
	l := c.measured(30)
	c.weighs(1)
	c.renewItem(l, fromNow(time.Hour), time.Time{})
	const measured = 6.8 // a fifth of the way
	c.weighs(measured)
	l = c.obtain("w1")
	c.renew("of a lease without one", l, fromNow(2*time.Hour))
	c.weighs(measured)
	c.release("", l)

	l = c.measured(106.8)
	until := fromNow(long)
	c.want("w2", until)
	c.renewItem(l, fromNow(3*time.Hour), until.Add(time.Second))
	c.weighs(26.8)
	c.showsWish("w2", until.Add(time.Second))
	c.handOver(l, until)
	c.weighs(26.8)
	l = c.obtain("w2")
	c.equal("LeaseWeight", l.AttributeValues[weightAttribute], decimal(26.8))
	c.release("", l)
	c.weighs(26.8)

	l = c.measured(126.8)
	c.renewItem(l, fromNow(4*time.Hour), fromNow(long)) // and the wish, if there is one
	c.weighs(46.8)
}

func weightNotWritten(c *conformance) {
	l := c.measured(3)
	c.renewItem(l, fromNow(time.Hour), time.Time{})
	c.weighs(1)

	l.SetWeight(30)
	c.obtain("w1")
	c.bareLost("RenewLease", c.RenewLease(l, fromNow(2*time.Hour)))
	c.weighs(1)
}

func weightRegistered(c *conformance) {
	weigh := func(weight *dynamodb.AttributeValue) error {
		return c.AddLeaseID(item, map[string]*dynamodb.AttributeValue{weightAttribute: weight})
	}
	for _, bad := range []*dynamodb.AttributeValue{number(0), number(-1), text("3"), nil} {
		err := weigh(bad)
		if err == nil || !strings.Contains(err.Error(), weightAttribute) {
			c.Errorf("AddLeaseID with a LeaseWeight of %v = %v; want an error that names it", bad, err)
		}
	}
	c.showsNoItem()
	c.noError("AddLeaseID with a LeaseWeight", weigh(&dynamodb.AttributeValue{N: aws.String("2.5")}))
	c.weighs(2.5)
	l := c.obtain("w1")
	c.equal("LeaseWeight", l.AttributeValues[weightAttribute], decimal(2.5))
	c.refuseAttribute(capacityAttribute, number(2))
}

// spacious are terms of a worker of another capacity than 1.
type spacious struct {
	terms
	capacity float64
}

func (s spacious) LeaseCapacity() float64 { return s.capacity }

func capacityWritten(c *conformance) {
	request := spacious{terms{"w1", long}, 2.5}
	for range 2 { // of a free item, and of the own one
		l, err := c.Lease(item, request, fromNow(long))
		if err != nil {
			c.Fatal(err)
		}
		c.equal("LeaseCapacity", l.AttributeValues[capacityAttribute], decimal(2.5))
		c.carries(2.5)
		c.renew("", l, fromNow(time.Hour))
		c.carries(2.5)
	}
	c.obtain("w1")
	c.carries(1)

	asSeen := func() *lease.Lease {
		c.Helper()
		l, err := c.LeaseAsSeen(c.Context(), c.row(), nil, request, fromNow(long))
		if err != nil {
			c.Fatal(err)
		}
		c.carries(2.5)
		return l
	}
	until := fromNow(long)
	c.want("w2", until)
	asSeen()
	c.showsWish("w2", until)
	c.release("", c.obtain("w1"))

	l := asSeen()
	c.release("", l)
	c.carries(1)
	l = asSeen()
	c.want("w2", until)
	c.handOver(l, until)
	c.shows("w2", until)
	c.carries(1)
}
