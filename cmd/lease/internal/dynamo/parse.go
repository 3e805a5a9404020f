package dynamo

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go/aws"

	"github.com/intercom/lease"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
)

// projection asks for what an item is made of: the expression, and its names.
func (c *Client) projection() (*string, map[string]*string) {
	if c.wide {
		return nil, nil
	}
	projection := "#key"
	names := map[string]*string{"#key": &c.Key}
	for n, name := range fleet.ShownAttributes {
		if name == c.Key {
			continue
		}
		placeholder := fmt.Sprint("#a", n)
		projection += ", " + placeholder
		names[placeholder] = aws.String(name)
	}
	return &projection, names
}

func (c *Client) parse(attributes fleet.Row) fleet.Item {
	found, err := c.ParseLeaseItem(attributes)
	i := fleet.ReadItem(attributes, found, err)
	if c.wide {
		i.Users = fleet.UsersAttributes(attributes, c.Key)
	}
	return i
}

// LeaseOf is the lease that an item shows: what is done by it is bound to its holder and token.
func LeaseOf(i lease.LeaseItem) *lease.Lease {
	return &lease.Lease{
		LeaseID:         i.LeaseID,
		Request:         Lessee{Name: i.LesseeID, Duration: time.Second},
		AttributeValues: fleet.Row{"FencingToken": fleet.Number(i.FencingToken)},
	}
}

// Lessee is a lease.LeaseRequest.
type Lessee struct {
	Name     string
	Duration time.Duration
}

func (l Lessee) LesseeID() string { return l.Name }

func (l Lessee) LeaseDuration() time.Duration { return l.Duration }
