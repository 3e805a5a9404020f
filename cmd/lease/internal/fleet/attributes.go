package fleet

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// TextOf is a value as JSON has it.
func TextOf(v *dynamodb.AttributeValue) string {
	text, _ := json.Marshal(plain(v))
	return string(text)
}

// plain returns a value as JSON has it. A binary one is text in base64.
func plain(v *dynamodb.AttributeValue) any {
	switch {
	case v.S != nil:
		return *v.S
	case v.N != nil:
		return json.Number(*v.N)
	case v.BOOL != nil:
		return *v.BOOL
	case v.B != nil:
		return v.B
	case v.SS != nil:
		return aws.StringValueSlice(v.SS)
	case v.BS != nil:
		return v.BS
	case v.M != nil:
		values := make(map[string]any)
		for name, value := range v.M {
			values[name] = plain(value)
		}
		return values
	}
	if v.L == nil && v.NS == nil {
		return nil
	}
	values := []any{}
	for _, value := range slices.Concat(v.L, numbers(v.NS)) {
		values = append(values, plain(value))
	}
	return values
}

func numbers(texts []*string) (values []*dynamodb.AttributeValue) {
	for _, text := range texts {
		values = append(values, &dynamodb.AttributeValue{N: text})
	}
	return values
}

// UsersAttributes are those of a row that are not the library's own, as JSON.
func UsersAttributes(r Row, key string) string {
	users := maps.Clone(r)
	delete(users, key)
	for _, name := range ShownAttributes {
		delete(users, name)
	}
	return TextOf(&dynamodb.AttributeValue{M: users}) // It has nothing that JSON hasn't.
}
