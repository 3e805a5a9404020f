package sdkv2_test

import (
	"encoding/json"
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
		if r.IntN(3) > 0 {
			v.Set(reflect.MakeMap(v.Type()))
			for range r.IntN(3) {
				key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem())
				fill(r, key, depth)
				fill(r, value.Elem(), depth)
				if present(value.Elem()) {
					v.SetMapIndex(key, value.Elem())
				}
			}
		}
	case reflect.Slice:
		for n := r.IntN(4) - 1; n >= 0; n-- {
			if v.IsNil() {
				v.Set(reflect.MakeSlice(v.Type(), 0, 0))
			}
			value := reflect.New(v.Type().Elem())
			if fill(r, value.Elem(), depth); n > 0 && present(value.Elem()) {
				v.Set(reflect.Append(v, value.Elem()))
			}
		}
	case reflect.String:
		v.SetString([]string{"", "a", `"\`, "\x00\b\t\n\f\r\x1f\x7f", "é 漢 \u2028 😀", "<&>", "no UTF-8: \xff\xc0"}[r.IntN(7)])
	case reflect.Bool:
		v.SetBool(r.IntN(2) > 0)
	case reflect.Int64:
		v.SetInt(r.Int64N(1<<53) - r.Int64N(1<<53)) // v1 reads larger ones inexactly
	case reflect.Float64:
		v.SetFloat(r.NormFloat64())
	case reflect.Uint8:
		v.SetUint(uint64(r.IntN(256)))
	}
}

// present leaves out nil in lists and maps: v1 writes no JSON then.
func present(v reflect.Value) bool {
	return v.Kind() != reflect.Pointer && v.Kind() != reflect.Slice || !v.IsNil()
}

// requests are those whose JSON this package writes and reads itself, and one whose it doesn't.
func requests(ddb *v1.DynamoDB, seed uint64) []*request.Request {
	r := rand.New(rand.NewPCG(seed, 0))
	return []*request.Request{random(r, ddb.DeleteItemRequest), random(r, ddb.GetItemRequest), random(r, ddb.PutItemRequest),
		random(r, ddb.QueryRequest), random(r, ddb.ScanRequest), random(r, ddb.UpdateItemRequest), random(r, ddb.BatchGetItemRequest)}
}

func random[In, Out any](r *rand.Rand, newRequest func(*In) (*request.Request, *Out)) *request.Request {
	in := new(In)
	fill(r, reflect.ValueOf(in).Elem(), 6)
	req, _ := newRequest(in)
	return req
}

// TestJSONIsAsV1s: of random parameters and results.
func TestJSONIsAsV1s(t *testing.T) {
	var body string
	stub := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) { return answer(r, 200, body), nil })}
	plain := ddblocal.NewClient("http://stub", &aws.Config{HTTPClient: stub, DisableParamValidation: aws.Bool(true), MaxRetries: aws.Int(0)})
	bridged := sdkv2.NewFromConfig(configOf(stub, "http://stub"))
	bridged.Config.DisableParamValidation = aws.Bool(true)
	for _, ddb := range []*v1.DynamoDB{plain, bridged} {
		ddb.Handlers.Validate.Clear()
	}
	for seed := range uint64(300) {
		wants := requests(plain, seed)
		for i, got := range requests(bridged, seed) {
			want := wants[i]
			require.NoError(t, want.Build())
			require.NoError(t, got.Build())
			sent, err := io.ReadAll(got.Body)
			require.NoError(t, err)
			expected, err := io.ReadAll(want.Body)
			require.NoError(t, err)
			assert.Equal(t, strings.Count(string(expected), "\xff"), strings.Count(string(sent), "\xff"), "bytes that are no UTF-8")
			require.JSONEq(t, string(expected), string(sent), "%s of seed %d", got.Operation.Name, seed)
			for _, name := range []string{"Content-Type", "X-Amz-Target"} {
				assert.Equal(t, want.HTTPRequest.Header.Values(name), got.HTTPRequest.Header.Values(name))
			}

			// The same values as a result: v1 has written them.
			result := reflect.New(reflect.TypeOf(want.Data).Elem())
			fill(rand.New(rand.NewPCG(seed, 1)), result.Elem(), 6)
			body = resultJSON(t, result.Interface())
			require.NoError(t, want.Send())
			require.NoError(t, got.Send())
			require.Equal(t, want.Data, got.Data, "%s of seed %d: %s", got.Operation.Name, seed, body)
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
