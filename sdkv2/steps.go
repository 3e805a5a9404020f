package sdkv2

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"net/http"
	"time"

	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// serializer sends what v1 has built.
type serializer struct{ *call }

func (serializer) ID() string { return "OperationSerializer" }

func (s serializer) HandleSerialize(
	ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler,
) (out middleware.SerializeOutput, md middleware.Metadata, err error) {
	empty, ok := in.Request.(*smithyhttp.Request)
	if !ok {
		return out, md, errTransport
	}

	// A handler may have read the body.
	body := s.request.Body
	if _, err := body.Seek(s.request.BodyStart, io.SeekStart); err != nil {
		return out, md, err
	}

	// SetStream would copy the header.
	header := empty.Header
	empty.Header = nil
	built, err := empty.SetStream(body)
	if err != nil {
		return out, md, err
	}
	built.Method = http.MethodPost
	built.URL.Path = "/"
	built.Header = header
	copyHeader(header, s.request.HTTPRequest.Header)
	in.Request = built
	return next.HandleSerialize(ctx, in)
}

// copyHeader copies values too, as v2 writes into them: with one allocation for all.
func copyHeader(to, from http.Header) {
	all := make([]string, 0, 2*len(from))
	for name, values := range from {
		all = append(all, values...)
		start := len(all) - len(values)
		to[name] = all[start:len(all):len(all)]
	}
}

// attempt begins each attempt.
type attempt struct{ *call }

func (attempt) ID() string { return "sdkv2.Attempt" }

func (a attempt) HandleFinalize(
	ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
) (middleware.FinalizeOutput, middleware.Metadata, error) {
	a.response = nil
	return next.HandleFinalize(ctx, in)
}

// identity knows which errors are those of the credentials.
type identity struct{ *call }

func (identity) ID() string { return "sdkv2.Identity" }

func (i identity) HandleFinalize(
	ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
) (middleware.FinalizeOutput, middleware.Metadata, error) {
	i.call.identified = false
	out, md, err := next.HandleFinalize(ctx, in)
	if err != nil && !i.call.identified {
		return out, md, &credentialsError{err}
	}
	return out, md, err
}

// identified notes that an attempt has its credentials.
type identified struct{ *call }

func (identified) ID() string { return "sdkv2.Identified" }

func (i identified) HandleFinalize(
	ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
) (middleware.FinalizeOutput, middleware.Metadata, error) {
	i.call.identified = true
	return next.HandleFinalize(ctx, in)
}

// deserializer keeps the response for v1, and has v2 judge it.
type deserializer struct{ *call }

func (deserializer) ID() string { return "OperationDeserializer" }

func (d deserializer) HandleDeserialize(
	ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler,
) (middleware.DeserializeOutput, middleware.Metadata, error) {
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

	// v2 reads the rest of a body, and warns of one that was closed before.
	resp.Body = http.NoBody
	if resp.StatusCode < http.StatusMultipleChoices {
		out.Result = d.result
		return out, md, d.check(body)
	}

	// v2's own reads the error, for v2 to judge it.
	resp.Body = io.NopCloser(bytes.NewReader(body))
	out, md, err = d.deserialize.HandleDeserialize(ctx, in, answer{out, md})
	return out, md, d.expired(err)
}

// answer is a handler that has been called.
type answer struct {
	out middleware.DeserializeOutput
	md  middleware.Metadata
}

func (a answer) HandleDeserialize(
	context.Context, middleware.DeserializeInput,
) (middleware.DeserializeOutput, middleware.Metadata, error) {
	return a.out, a.md, nil
}

// transmission is the last step before the transport.
type transmission struct{ *call }

func (transmission) ID() string { return "sdkv2.Transmission" }

func (t transmission) HandleDeserialize(
	ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler,
) (middleware.DeserializeOutput, middleware.Metadata, error) {
	t.attempts++
	t.sent = time.Now()
	return next.HandleDeserialize(ctx, in)
}
