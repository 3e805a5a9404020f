package sdkv2

import (
	"bytes"
	"encoding/json"
	"errors"
	"hash/crc32"
	"net/http"
	"strconv"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/smithy-go"
)

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
		const most = 1 << 20 // in advance, whatever is announced
		body.Grow(int(min(resp.ContentLength, most)) + bytes.MinRead)
	}
	if _, err := body.ReadFrom(resp.Body); err != nil {
		return nil, &bodyError{
			code:  request.ErrCodeSerialization,
			text:  "failed to read the response",
			cause: err,
		}
	}
	all := body.Bytes()
	kept.Body = &buffered{Reader: *bytes.NewReader(all), bytes: all}
	return all, nil
}

// check tells what is wrong with the body of a success.
func (c *call) check(body []byte) error {
	if want, ok := c.checksum(); ok && want != crc32.ChecksumIEEE(body) {
		return &bodyError{code: "CRC32CheckFailed", text: "CRC32 integrity check failed"}
	}
	if len(body) > 0 && !json.Valid(body) {
		return &bodyError{
			code: request.ErrCodeSerialization,
			text: "failed decoding JSON RPC response",
		}
	}
	return nil
}

// checksum returns that which the response's body must have, if it must have one.
//
// The service makes it before it compresses or after; v1 never asks for compression, so only
// where v2 does the question arises, and there gzip has a checksum of its own.
func (c *call) checksum() (want uint32, ok bool) {
	header := c.response.Header
	if header.Get("Content-Encoding") == "gzip" {
		return 0, false
	}
	if c.settled.DisableValidateResponseChecksum {
		return 0, false
	}
	sum, err := strconv.ParseUint(header.Get("X-Amz-Crc32"), 10, 32)
	return uint32(sum), err == nil
}

// expired makes v2 get new credentials and try again where the old ones have expired, as v1
// does.
func (c *call) expired(err error) error {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return err
	}
	asV1 := awserr.New(api.ErrorCode(), "", nil)
	if !request.IsErrorExpiredCreds(asV1) {
		return err
	}
	if cache, ok := c.settled.Credentials.(interface{ Invalidate() }); ok {
		cache.Invalidate()
	}
	return &expiredError{err}
}
