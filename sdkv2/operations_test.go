package sdkv2

import (
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/stretchr/testify/assert"
)

// TestTheTableHasEveryOperation: those of v1's interface, and no other.
func TestTheTableHasEveryOperation(t *testing.T) {
	want, iface := map[string]bool{}, reflect.TypeFor[dynamodbiface.DynamoDBAPI]()
	for i := range iface.NumMethod() {
		if name, ok := strings.CutSuffix(iface.Method(i).Name, "Request"); ok {
			want[name] = true
		}
	}
	got := map[string]bool{}
	for name, operation := range operations {
		got[name] = true
		// The v2 operation of an entry is that of its name: its result's type says so.
		assert.Equal(t, "*dynamodb."+name+"Output", reflect.TypeOf(operation.output()).String())
	}
	assert.Equal(t, want, got)
	assert.Len(t, got, 57)
}
