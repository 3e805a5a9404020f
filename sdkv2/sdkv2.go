package sdkv2

import (
	"context"
	"net/http"

	awsv2 "github.com/aws/aws-sdk-go-v2/aws"
	v2 "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/client"
	"github.com/aws/aws-sdk-go/aws/corehandlers"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/request"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
)

// New returns a v1 client whose requests are sent by a v2 client: with its credentials,
// endpoints, retries, HTTP client and middleware. It sends nothing itself, reads no environment
// and no files, and panics if client is nil. The errors of its requests are those of v1, see
// the package's documentation; without a region each fails with MissingRegion, and a request
// can't be presigned. It is safe for concurrent use, as any v1 client, and beside other uses of
// the v2 client.
func New(client *v2.Client) *v1.DynamoDB {
	b := &bridge{client: client, settled: client.Options()}
	ddb := v1.New(b.settings())
	h := &ddb.Handlers
	b.build = h.Build
	b.unmarshal = h.Unmarshal
	h.Build = handler("sdkv2.Build", b.write)
	h.Send = handler("sdkv2.Send", b.send)
	h.Unmarshal = handler("sdkv2.Unmarshal", b.read)

	// v2 signs, and send sets the request ID, of which there is no more.
	h.Sign = handler("sdkv2.Sign", refusePresigning)
	h.UnmarshalMeta.Clear()
	return ddb
}

// NewFromConfig is [New] of the v2 client that dynamodb.NewFromConfig makes of cfg.
func NewFromConfig(cfg awsv2.Config, optFns ...func(*v2.Options)) *v1.DynamoDB {
	return New(v2.NewFromConfig(cfg, optFns...))
}

// bridge is what all requests of a client share. It doesn't change.
type bridge struct {
	client  *v2.Client
	settled v2.Options

	build, unmarshal request.HandlerList // v1's own
}

func handler(name string, fn func(*request.Request)) (list request.HandlerList) {
	list.PushBackNamed(request.NamedHandler{Name: name, Fn: fn})
	return list
}

// settings are those of a v1 client that checks and builds requests, reads responses, and does
// no more.
func (b *bridge) settings() settings {
	endpoint := b.endpoint()
	s := settings{
		Config: &aws.Config{
			Region:      &b.settled.Region,
			Endpoint:    &endpoint,
			Credentials: credentials.AnonymousCredentials,
			MaxRetries:  aws.Int(0),
			// It is the bridge that does this, where v2 can retry.
			DisableComputeChecksums: aws.Bool(true),
		},
		Endpoint:      endpoint,
		SigningRegion: b.settled.Region,
	}
	if c, ok := b.settled.HTTPClient.(*http.Client); ok {
		s.Config.HTTPClient = c // Not used: for who looks.
	}
	s.Handlers.Validate.PushBack(refusePresigning)
	s.Handlers.Validate.PushBackNamed(corehandlers.ValidateEndpointHandler)
	s.Handlers.Validate.PushBackNamed(corehandlers.ValidateParametersHandler)
	s.Handlers.ValidateResponse.PushBackNamed(corehandlers.ValidateResponseHandler)
	return s
}

// endpoint is where requests go that name no table of another account: for who looks, too.
func (b *bridge) endpoint() string {
	if b.settled.EndpointResolverV2 == nil {
		return "https://" + v1.ServiceName
	}
	options := b.settled.EndpointOptions
	dualStack := options.UseDualStackEndpoint == awsv2.DualStackEndpointStateEnabled
	fips := options.UseFIPSEndpoint == awsv2.FIPSEndpointStateEnabled
	params := v2.EndpointParameters{
		Region:       &b.settled.Region,
		Endpoint:     b.settled.BaseEndpoint,
		UseDualStack: &dualStack,
		UseFIPS:      &fips,
	}
	resolved, err := b.settled.EndpointResolverV2.ResolveEndpoint(context.Background(), params)
	if err != nil {
		return "https://" + v1.ServiceName // The v2 client will say what is wrong.
	}
	return resolved.URI.String()
}

type settings client.Config

func (s settings) ClientConfig(string, ...*aws.Config) client.Config { return client.Config(s) }

func refusePresigning(r *request.Request) {
	if r.IsPresigned() {
		const text = "sdkv2: a request can't be presigned: the v2 client signs what it sends"
		r.Error = awserr.New("NotImplemented", text, nil)
	}
}
