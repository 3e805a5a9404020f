package sdkv2

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"time"

	v2 "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
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

// send is v1's Send handler: v1 has validated and built the request, and will unmarshal the response.
func (b *bridge) send(r *request.Request) {
	operation, ok := operations[r.Operation.Name]
	if !ok { // of a later release of v1's, or made up
		r.HTTPResponse = noResponse()
		r.Error = awserr.New("NotImplemented", "sdkv2: unknown operation "+r.Operation.Name, nil)
		return
	}
	c := &call{bridge: b, request: r, result: operation.output()}
	err := operation.call(r.Context(), b.client, r.Params, c.configure)
	if c.attempts > 0 {
		r.AttemptTime = c.sent
		r.RetryCount += c.attempts - 1
	}
	if r.HTTPResponse = c.response; c.response == nil {
		r.HTTPResponse = noResponse()
	}
	r.RequestID = cmp.Or(r.HTTPResponse.Header.Get("X-Amzn-Requestid"), r.HTTPResponse.Header.Get("X-Amz-Request-Id"))
	r.Error = c.v1Error(err)
}

// noResponse is what v1 has where nothing came.
func noResponse() *http.Response { return &http.Response{Header: http.Header{}, Body: http.NoBody} }

func (c *call) configure(o *v2.Options) {
	o.DisableValidateResponseChecksum = true // v2 only logs what it finds.
	o.APIOptions = append(o.APIOptions, c.middleware)
}

// middleware puts the call's own steps in the places of v2's serializer and deserializer, and around each attempt.
func (c *call) middleware(stack *middleware.Stack) error {
	const validation = "OperationInputValidation" // v1 has done it.
	if _, ok := stack.Initialize.Get(validation); ok {
		if _, err := stack.Initialize.Remove(validation); err != nil {
			return err
		}
	}
	if _, err := stack.Serialize.Swap("OperationSerializer", serializer{c}); err != nil {
		return err
	}
	deserialize, err := stack.Deserialize.Swap("OperationDeserializer", deserializer{c})
	if err != nil {
		return err
	}
	c.deserialize = deserialize
	if err := stack.Deserialize.Add(transmission{c}, middleware.After); err != nil {
		return err
	}
	if err := stack.Finalize.Insert(attempt{c}, "Retry", middleware.After); err != nil {
		return err
	}
	if err := stack.Finalize.Insert(identity{c}, "GetIdentity", middleware.Before); err != nil {
		return err
	}
	return stack.Finalize.Insert(identified{c}, "GetIdentity", middleware.After)
}

type serializer struct{ *call }

func (serializer) ID() string { return "OperationSerializer" }

func (s serializer) HandleSerialize(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (
	out middleware.SerializeOutput, md middleware.Metadata, err error,
) {
	req, ok := in.Request.(*smithyhttp.Request)
	if !ok {
		return out, md, errTransport
	}
	header := req.Header
	req.Header = nil                                                                 // SetStream would copy it.
	if _, err = s.request.Body.Seek(s.request.BodyStart, io.SeekStart); err != nil { // A handler may have read it.
		return out, md, err
	}
	if req, err = req.SetStream(s.request.Body); err != nil {
		return out, md, err
	}
	req.Method, req.URL.Path, req.Header = http.MethodPost, "/", header
	all := make([]string, 0, 2*len(s.request.HTTPRequest.Header)) // copies, as v2 writes into them
	for name, values := range s.request.HTTPRequest.Header {
		all = append(all, values...)
		header[name] = all[len(all)-len(values) : len(all) : len(all)]
	}
	in.Request = req
	return next.HandleSerialize(ctx, in)
}

// attempt begins each attempt.
type attempt struct{ *call }

func (attempt) ID() string { return "sdkv2.Attempt" }

func (a attempt) HandleFinalize(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
	out middleware.FinalizeOutput, md middleware.Metadata, err error,
) {
	a.response = nil
	return next.HandleFinalize(ctx, in)
}

// identity knows which errors are those of the credentials.
type identity struct{ *call }

func (identity) ID() string { return "sdkv2.Identity" }

func (i identity) HandleFinalize(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
	out middleware.FinalizeOutput, md middleware.Metadata, err error,
) {
	i.call.identified = false
	if out, md, err = next.HandleFinalize(ctx, in); err != nil && !i.call.identified {
		err = &credentialsError{err}
	}
	return out, md, err
}

// identified notes that an attempt has its credentials.
type identified struct{ *call }

func (identified) ID() string { return "sdkv2.Identified" }

func (i identified) HandleFinalize(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
	middleware.FinalizeOutput, middleware.Metadata, error,
) {
	i.call.identified = true
	return next.HandleFinalize(ctx, in)
}

type deserializer struct{ *call }

func (deserializer) ID() string { return "OperationDeserializer" }

func (d deserializer) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	middleware.DeserializeOutput, middleware.Metadata, error,
) {
	d.response = nil // Middleware may come here more than once in an attempt.
	out, md, err := next.HandleDeserialize(ctx, in)
	resp, ok := out.RawResponse.(*smithyhttp.Response)
	if !ok || resp.Response == nil {
		return out, md, cmp.Or(err, errTransport)
	}
	defer resp.Body.Close()
	if err != nil {
		return out, md, err
	}
	body, err := d.keep(resp.Response)
	if err != nil {
		return out, md, err
	}
	if resp.StatusCode < 300 {
		out.Result = d.result
		return out, md, d.check(body)
	}
	// v2's own reads the error, for v2 to judge it.
	resp.Body = io.NopCloser(bytes.NewReader(body))
	out, md, err = d.deserialize.HandleDeserialize(ctx, in, answer{out, md})
	return out, md, d.expired(err)
}

// transmission is the last step before the transport.
type transmission struct{ *call }

func (transmission) ID() string { return "sdkv2.Transmission" }

func (t transmission) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	middleware.DeserializeOutput, middleware.Metadata, error,
) {
	t.attempts++
	t.sent = time.Now()
	return next.HandleDeserialize(ctx, in)
}

// answer is a handler that has been called.
type answer struct {
	out middleware.DeserializeOutput
	md  middleware.Metadata
}

func (a answer) HandleDeserialize(context.Context, middleware.DeserializeInput) (
	middleware.DeserializeOutput, middleware.Metadata, error,
) {
	return a.out, a.md, nil
}

// buffered is a body that was read.
type buffered struct {
	bytes.Reader
	bytes []byte
}

func (*buffered) Close() error { return nil }

// keep reads a response, and keeps it for v1.
func (c *call) keep(resp *http.Response) ([]byte, error) {
	kept := *resp
	kept.Body = http.NoBody
	c.response = &kept
	var body bytes.Buffer
	if resp.ContentLength > 0 {
		body.Grow(int(min(resp.ContentLength, 1<<20)) + bytes.MinRead)
	}
	if _, err := body.ReadFrom(resp.Body); err != nil {
		return nil, &bodyError{code: request.ErrCodeSerialization, text: "failed to read the response", cause: err}
	}
	kept.Body = &buffered{Reader: *bytes.NewReader(body.Bytes()), bytes: body.Bytes()}
	return body.Bytes(), nil
}

// check tells what is wrong with the body of a success. The service makes the checksum before it compresses or after; v1
// never asks for compression, so only where v2 does the question arises, and there gzip has a checksum of its own.
func (c *call) check(body []byte) error {
	header := c.response.Header
	if want, err := strconv.ParseUint(header.Get("X-Amz-Crc32"), 10, 32); err == nil && header.Get("Content-Encoding") != "gzip" &&
		!c.settled.DisableValidateResponseChecksum && crc32.ChecksumIEEE(body) != uint32(want) {
		return &bodyError{code: "CRC32CheckFailed", text: "CRC32 integrity check failed"}
	}
	if len(body) > 0 && !json.Valid(body) {
		return &bodyError{code: request.ErrCodeSerialization, text: "failed decoding JSON RPC response"}
	}
	return nil
}

// expired makes v2 get new credentials and try again where the old ones have expired, as v1 does.
func (c *call) expired(err error) error {
	var api smithy.APIError
	if !errors.As(err, &api) || !request.IsErrorExpiredCreds(awserr.New(api.ErrorCode(), "", nil)) {
		return err
	}
	if cache, ok := c.settled.Credentials.(interface{ Invalidate() }); ok {
		cache.Invalidate()
	}
	return &expiredError{err}
}
