package sdkv2

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestJSONShowsTheServiceAnElementThatIsNil(t *testing.T) {
	list := []*string{new(string), nil}
	assert.Equal(t, `["",null]`, string(appendJSON(nil, reflect.ValueOf(list))))
}
