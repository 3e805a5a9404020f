package sdkv2_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/request"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/sdkv2"
)

// fill sets what is in v at random, some of it nil or empty.
func fill(r *rand.Rand, v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Pointer:
		if depth > 0 && r.IntN(4) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem(), depth-1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(r, v.Field(i), depth)
			}
		}
	case reflect.Map:
		fillMap(r, v, depth)
	case reflect.Slice:
		fillSlice(r, v, depth)
	default:
		fillScalar(r, v)
	}
}

// fillMap leaves a third of the maps nil.
func fillMap(r *rand.Rand, v reflect.Value, depth int) {
	if r.IntN(3) == 0 {
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for range r.IntN(3) {
		key := reflect.New(v.Type().Key()).Elem()
		value := reflect.New(v.Type().Elem()).Elem()
		fill(r, key, depth)
		fill(r, value, depth)
		if present(value) {
			v.SetMapIndex(key, value)
		}
	}
}

// fillSlice leaves a quarter of the slices nil, and another empty.
func fillSlice(r *rand.Rand, v reflect.Value, depth int) {
	n := r.IntN(4)
	if n == 0 {
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	for range n - 1 {
		value := reflect.New(v.Type().Elem()).Elem()
		fill(r, value, depth)
		if present(value) {
			v.Set(reflect.Append(v, value))
		}
	}
}

var texts = []string{
	"", "a", `"\`, "\x00\b\t\n\f\r\x1f\x7f", "é 漢 \u2028 😀", "<&>", "no UTF-8: \xff\xc0",
}

func fillScalar(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(texts[r.IntN(len(texts))])
	case reflect.Bool:
		v.SetBool(r.IntN(2) > 0)
	case reflect.Int64:
		const most = 1 << 53 // v1 reads larger ones inexactly
		v.SetInt(r.Int64N(most) - r.Int64N(most))
	case reflect.Float64:
		v.SetFloat(r.NormFloat64())
	case reflect.Uint8:
		v.SetUint(uint64(r.IntN(256)))
	}
}

// present leaves out nil in lists and maps: v1 writes no JSON then.
func present(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice:
		return !v.IsNil()
	}
	return true
}

// requests are those whose JSON this package writes and reads itself, and one whose it doesn't.
func requests(ddb *v1.DynamoDB, seed uint64) []*request.Request {
	r := rand.New(rand.NewPCG(seed, 0))
	return []*request.Request{
		random(r, ddb.DeleteItemRequest),
		random(r, ddb.GetItemRequest),
		random(r, ddb.PutItemRequest),
		random(r, ddb.QueryRequest),
		random(r, ddb.ScanRequest),
		random(r, ddb.UpdateItemRequest),
		random(r, ddb.BatchGetItemRequest),
	}
}

func random[In, Out any](
	r *rand.Rand, newRequest func(*In) (*request.Request, *Out),
) *request.Request {
	in := new(In)
	fill(r, reflect.ValueOf(in).Elem(), 6)
	req, _ := newRequest(in)
	return req
}

// clients returns a plain client and a bridged one, that check nothing and get that body.
func clients(body *string) (plain, bridged *v1.DynamoDB) {
	stub := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		return answer(r, 200, *body), nil
	})}
	plain = ddblocal.NewClient("http://stub", &aws.Config{
		HTTPClient:             stub,
		DisableParamValidation: aws.Bool(true),
		MaxRetries:             aws.Int(0),
	})
	plain.Handlers.Validate.Clear()
	bridged = sdkv2.NewFromConfig(configOf(stub, "http://stub"))
	bridged.Config.DisableParamValidation = aws.Bool(true)
	bridged.Handlers.Validate.Clear()
	return plain, bridged
}

// sent returns what a request is to send.
func sent(t *testing.T, r *request.Request) string {
	t.Helper()
	require.NoError(t, r.Build())
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return string(body)
}

// Of random parameters and results.
func TestJSONIsAsV1s(t *testing.T) {
	var body string
	plain, bridged := clients(&body)
	for seed := range uint64(100) {
		wants := requests(plain, seed)
		for i, got := range requests(bridged, seed) {
			want := wants[i]
			what := fmt.Sprintf("%s of seed %d", got.Operation.Name, seed)
			wantSent := sent(t, want)
			gotSent := sent(t, got)
			require.JSONEq(t, wantSent, gotSent, what)
			noUTF8 := strings.Count(wantSent, "\xff")
			assert.Equal(t, noUTF8, strings.Count(gotSent, "\xff"), "bytes that are no UTF-8")
			for _, name := range []string{"Content-Type", "X-Amz-Target"} {
				header := got.HTTPRequest.Header.Values(name)
				assert.Equal(t, want.HTTPRequest.Header.Values(name), header)
			}

			result := reflect.New(reflect.TypeOf(want.Data).Elem())
			fill(rand.New(rand.NewPCG(seed, 1)), result.Elem(), 6)
			body = resultJSON(t, result.Interface())
			require.NoError(t, want.Send())
			require.NoError(t, got.Send())
			require.Equal(t, want.Data, got.Data, "%s: %s", what, body)
		}
	}
}

// resultJSON is a result as the service writes it: what is nil is left out.
func resultJSON(t *testing.T, result any) string {
	whole, err := json.Marshal(result)
	require.NoError(t, err)
	var v any
	require.NoError(t, json.Unmarshal(whole, &v))
	part, err := json.Marshal(without(v))
	require.NoError(t, err)
	return string(part)
}

func without(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if v[key] = without(value); value == nil {
				delete(v, key)
			}
		}
	case []any:
		for i := range v {
			v[i] = without(v[i])
		}
	}
	return v
}
