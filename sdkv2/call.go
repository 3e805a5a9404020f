package sdkv2

import (
	"cmp"
	"net/http"
	"time"

	v2 "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/smithy-go/middleware"
)

// call is one request of v1's on its way through the v2 client. One goroutine uses it.
type call struct {
	*bridge
	request *request.Request
	result  any // what v2's operation returns a pointer to; nobody reads it

	attempts int       // those that reached the transport
	sent     time.Time // when the last of those did

	// Of the last attempt, also where it did not reach the transport:
	identified bool           // it had got its credentials
	response   *http.Response // what came, with a body of its own; nil if nothing did

	deserialize middleware.DeserializeMiddleware // v2's own
}

// send is v1's Send handler: v1 has validated and built the request, and will unmarshal the
// response.
func (b *bridge) send(r *request.Request) {
	operation, ok := operations[r.Operation.Name]
	if !ok { // of a later release of v1's, or made up
		unknown := "sdkv2: unknown operation " + r.Operation.Name
		r.HTTPResponse = noResponse()
		r.Error = awserr.New("NotImplemented", unknown, nil)
		return
	}
	c := &call{bridge: b, request: r, result: operation.output()}
	err := operation.call(r.Context(), b.client, r.Params, c.configure)
	c.report()
	r.Error = c.v1Error(err)
}

// report writes what came of the request into it.
func (c *call) report() {
	r := c.request
	if c.attempts > 0 {
		r.AttemptTime = c.sent
		r.RetryCount += c.attempts - 1
	}
	r.HTTPResponse = c.response
	if c.response == nil {
		r.HTTPResponse = noResponse()
	}
	header := r.HTTPResponse.Header
	r.RequestID = cmp.Or(header.Get("X-Amzn-Requestid"), header.Get("X-Amz-Request-Id"))
}

// noResponse is what v1 has where nothing came.
func noResponse() *http.Response {
	return &http.Response{Header: http.Header{}, Body: http.NoBody}
}

func (c *call) configure(o *v2.Options) {
	o.DisableValidateResponseChecksum = true // v2 only logs what it finds.
	o.APIOptions = append(o.APIOptions, c.middleware)
}

// middleware puts the call's own steps in the places of v2's serializer and deserializer, and
// around each attempt.
func (c *call) middleware(stack *middleware.Stack) error {
	if err := removeValidation(stack); err != nil {
		return err
	}
	_, err := stack.Serialize.Swap("OperationSerializer", serializer{c})
	if err != nil {
		return err
	}
	c.deserialize, err = stack.Deserialize.Swap("OperationDeserializer", deserializer{c})
	if err != nil {
		return err
	}
	if err := stack.Deserialize.Add(transmission{c}, middleware.After); err != nil {
		return err
	}
	if err := stack.Finalize.Insert(attempt{c}, "Retry", middleware.After); err != nil {
		return err
	}
	const credentials = "GetIdentity"
	if err := stack.Finalize.Insert(identity{c}, credentials, middleware.Before); err != nil {
		return err
	}
	return stack.Finalize.Insert(identified{c}, credentials, middleware.After)
}

// removeValidation removes v2's: v1 has done it.
func removeValidation(stack *middleware.Stack) error {
	const validation = "OperationInputValidation"
	if _, ok := stack.Initialize.Get(validation); !ok {
		return nil
	}
	_, err := stack.Initialize.Remove(validation)
	return err
}
