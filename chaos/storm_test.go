package chaos_test

import (
	"context"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/internal/chaos"
	"github.com/intercom/lease/internal/ddblocal"
)

// The faults that are not of a request.
const (
	killed     = "SIGKILL"
	terminated = "SIGTERM"
	stopped    = "SIGSTOP and SIGCONT"
	operated   = "wish of an operator"
	crashed    = "DynamoDB Local killed and started again"
	hung       = "work that hung, and whose item was given up"

	clockStepped = "clock stepped during a request"
	doubled      = "a second worker of one name"
)

// darken puts a proxy into a black hole from time to time.
func (f *fleet) darken(ctx context.Context, p *chaos.Proxy, r *rand.Rand) {
	for pause(ctx, r, 4*time.Second, 12*time.Second) {
		p.Dark(time.Duration(r.Int64N(int64(2 * f.template.Duration))))
	}
}

// torment ends, kills and stops a child from time to time, having started it if it wasn't. At
// the end it runs.
func (f *fleet) torment(ctx context.Context, c *child, r *rand.Rand) {
	if c.process == nil {
		pause(ctx, r, time.Second, 5*time.Second)
		f.spawn(c)
	}
	for pause(ctx, r, time.Second, 5*time.Second) {
		switch r.IntN(4) {
		case 0:
			f.terminate(c)
			pause(ctx, r, 0, time.Second)
			f.spawn(c)
		case 1:
			f.kill(c)
			pause(ctx, r, 0, time.Second)
			f.spawn(c)
		default:
			f.stopForAWhile(ctx, c, r)
		}
	}
}

// spawn starts a child anew.
func (f *fleet) spawn(c *child) {
	if err := c.spawn(); err != nil {
		f.t.Errorf("starting %s: %v", c.settings.Name, err)
	}
}

// terminate ends a child as whoever ends processes does: it kills what takes too long.
func (f *fleet) terminate(c *child) {
	f.fault(c.settings.Name, terminated)
	c.process.signal(syscall.SIGTERM)
	select {
	case <-c.process.gone:
	case <-time.After(2 * f.template.Duration):
		c.process.kill()
	}
}

// stopForAWhile stops a child, and lets it go on.
func (f *fleet) stopForAWhile(ctx context.Context, c *child, r *rand.Rand) {
	f.fault(c.settings.Name, stopped)
	c.process.signal(syscall.SIGSTOP)
	pause(ctx, r, 0, 3*f.template.Duration)
	c.process.signal(syscall.SIGCONT)
}

// crash kills the server and starts it again, once and then from time to time.
func (f *fleet) crash(ctx context.Context, s *server, r *rand.Rand) {
	early, cancel := context.WithTimeout(ctx, *duration*2/3) // It takes a while until it's back.
	defer cancel()
	pause(ctx, r, time.Second, 4*time.Second)
	for ctx.Err() == nil {
		f.fault("server", crashed)
		s.stop()
		pause(ctx, r, 0, time.Second)
		if err := s.start(context.WithoutCancel(ctx)); err != nil {
			f.t.Errorf("starting DynamoDB Local again: %v", err)
			return
		}
		if !pause(early, r, 4*time.Second, 12*time.Second) {
			return
		}
	}
}

// operate is an operator that writes wishes at random, most of which make sense.
func (f *fleet) operate(ctx context.Context, r *rand.Rand) {
	for pause(ctx, r, 10*time.Millisecond, 100*time.Millisecond) {
		by, until := f.anyWish(r)
		f.fault("operator", operated)
		f.wish(ctx, f.items[r.IntN(len(f.items))], by, until)
	}
}

// anyWish makes up the attributes of a wish.
func (f *fleet) anyWish(r *rand.Rand) (by, until *dynamodb.AttributeValue) {
	now := time.Now()
	in := func(most time.Duration) *dynamodb.AttributeValue {
		return num(now.Add(time.Duration(r.Int64N(int64(most)))).UnixNano())
	}
	by = str(f.anyLessee(r))
	until = in(f.template.Duration)
	switch r.IntN(10) {
	case 0, 1:
		by = str("")
		until = in(5 * time.Minute)
	case 2:
		by = str("nobody knows")
	case 3:
		by = nil
	case 4:
		by = num(7)
	case 5:
		odd := []*dynamodb.AttributeValue{
			nil, str("soon"), num(0), num(now.UnixNano() - 1),
			num(now.Add(1e5 * time.Hour).UnixNano()),
		}
		until = odd[r.IntN(len(odd))]
	}
	return by, until
}

// wish writes a wish as an operator might; nil removes the attribute. It may fail.
func (f *fleet) wish(ctx context.Context, item string, by, until *dynamodb.AttributeValue) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	values := row{}
	var set, remove []string
	for name, value := range (row{"WantedBy": by, "WantedUntil": until}) {
		if value == nil {
			remove = append(remove, name)
		} else {
			set = append(set, name+" = :"+name)
			values[":"+name] = value
		}
	}
	update := ""
	if set != nil {
		update += " SET " + strings.Join(set, ", ")
	}
	if remove != nil {
		update += " REMOVE " + strings.Join(remove, ", ")
	}
	in := &dynamodb.UpdateItemInput{
		TableName:           &f.table.name,
		Key:                 row{"id": str(item)},
		UpdateExpression:    aws.String(update),
		ConditionExpression: aws.String("attribute_exists(id)"),
	}
	if len(values) > 0 {
		in.ExpressionAttributeValues = values
	}
	f.table.ddb.UpdateItemWithContext(ctx, in)
}

// server is a DynamoDB Local that keeps its data and its port when it is started again.
type server struct {
	t        *testing.T
	endpoint string
	options  ddblocal.Options
	running  *ddblocal.Server
}

func startServer(t *testing.T) *server {
	s := &server{t: t, options: ddblocal.Options{Dir: t.TempDir()}}
	require.NoError(t, s.start(t.Context()))
	t.Cleanup(s.stop)
	s.endpoint = s.running.Endpoint
	address, err := url.Parse(s.endpoint)
	require.NoError(t, err)
	s.options.Port, err = strconv.Atoi(address.Port())
	require.NoError(t, err)
	return s
}

func (s *server) start(ctx context.Context) (err error) {
	s.running, err = ddblocal.Start(ctx, s.options)
	return err
}

func (s *server) stop() {
	if s.running != nil { // else it could not be started again
		assert.NoError(s.t, s.running.Stop())
	}
}

// haunt has a worker with the name of another come and go. Each of the two finds that out, and
// ends its share.
func (f *fleet) haunt(ctx context.Context, r *rand.Rand) {
	lease := f.template.Duration
	double := &local{settings: f.double}
	for pause(ctx, r, lease, 3*lease) {
		f.fault(f.double.Lessee, doubled)
		double = double.again(f, lease)
		pause(ctx, r, lease, 3*lease)
		double.stop()
	}
}
