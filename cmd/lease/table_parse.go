package main

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/intercom/lease"
)

// projection asks for what an item is made of: the expression, and its names.
func (c *client) projection() (*string, map[string]*string) {
	if c.wide {
		return nil, nil
	}
	projection := "#key"
	names := map[string]*string{"#key": &c.key}
	for n, name := range shownAttributes {
		if name == c.key {
			continue
		}
		placeholder := fmt.Sprint("#a", n)
		projection += ", " + placeholder
		names[placeholder] = aws.String(name)
	}
	return &projection, names
}

func (c *client) parse(attributes row) item {
	found, err := c.ParseLeaseItem(attributes)
	i := readItem(attributes, found, err)
	if c.wide {
		i.users = usersAttributes(attributes, c.key)
	}
	return i
}

// leaseOf is the lease that an item shows: what is done by it is bound to its holder and token.
func leaseOf(i lease.LeaseItem) *lease.Lease {
	return &lease.Lease{
		LeaseID:         i.LeaseID,
		Request:         lessee{i.LesseeID, time.Second},
		AttributeValues: row{"FencingToken": number(i.FencingToken)},
	}
}

// lessee is a lease.LeaseRequest.
type lessee struct {
	name     string
	duration time.Duration
}

func (l lessee) LesseeID() string { return l.name }

func (l lessee) LeaseDuration() time.Duration { return l.duration }
