package leasetest

import (
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// checkValue tells why DynamoDB would refuse an attribute's value.
func checkValue(leaseID, name string, value *dynamodb.AttributeValue) error {
	if err := valueError(value); err != nil {
		return fmt.Errorf("leasetest: the attribute %q of lease ID %q is no good: %w",
			name, leaseID, err)
	}
	return nil
}

func valueError(v *dynamodb.AttributeValue) error {
	if v == nil {
		return errors.New("a value in it is nil")
	}
	if n := countTypes(v); n != 1 {
		return fmt.Errorf("a value has %d types; want one", n)
	}
	switch {
	case v.N != nil:
		return numberError(*v.N)
	case v.NULL != nil && !*v.NULL:
		return errors.New("a NULL is false")
	case v.SS != nil:
		return setError(texts(v.SS))
	case v.NS != nil:
		return numbersError(texts(v.NS))
	case v.BS != nil:
		return setError(textsOf(v.BS))
	}
	return partsError(v)
}

func countTypes(v *dynamodb.AttributeValue) int {
	types := 0
	for _, isThere := range []bool{
		v.S != nil, v.N != nil, v.B != nil, v.BOOL != nil, v.NULL != nil,
		v.SS != nil, v.NS != nil, v.BS != nil, v.L != nil, v.M != nil,
	} {
		if isThere {
			types++
		}
	}
	return types
}

// partsError tells what is wrong with what a list or a map contains.
func partsError(v *dynamodb.AttributeValue) error {
	for _, part := range v.L {
		if err := valueError(part); err != nil {
			return err
		}
	}
	for name, part := range v.M {
		if name == "" {
			return errors.New("a name in a map is empty")
		}
		if err := valueError(part); err != nil {
			return err
		}
	}
	return nil
}

var aNumber = regexp.MustCompile(`^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?$`)

// The bounds of DynamoDB's numbers.
var (
	leastNumber = rational("1E-130")
	mostNumber  = rational("9.9999999999999999999999999999999999999E125")
)

const mostDigits = 38

func rational(s string) *big.Rat {
	r, _ := new(big.Rat).SetString(s)
	return r
}

func numberError(n string) error {
	if !aNumber.MatchString(n) {
		return fmt.Errorf("%q is not a number", n)
	}
	size := rational(n)
	size.Abs(size)
	isInBounds := size.Sign() == 0 || size.Cmp(leastNumber) >= 0 && size.Cmp(mostNumber) <= 0
	if !isInBounds || digits(n) > mostDigits {
		return fmt.Errorf("%s is a number that DynamoDB can't keep", n)
	}
	return nil
}

// digits counts those that matter.
func digits(n string) int {
	mantissa, _, _ := strings.Cut(strings.ToLower(n), "e")
	mantissa = strings.ReplaceAll(mantissa, ".", "")
	return len(strings.Trim(mantissa, "+-0"))
}

func numbersError(ns []string) error {
	values := make([]string, len(ns))
	for i, n := range ns {
		if err := numberError(n); err != nil {
			return err
		}
		values[i] = rational(n).RatString()
	}
	return setError(values)
}

func setError(values []string) error {
	if len(values) == 0 {
		return errors.New("a set is empty")
	}
	seen := make(map[string]bool)
	for _, value := range values {
		if seen[value] {
			return fmt.Errorf("a set has %q twice", value)
		}
		seen[value] = true
	}
	return nil
}

// texts returns what the pointers lead to; a nil one is "", as it is to the SDK.
func texts(pointers []*string) []string {
	values := make([]string, len(pointers))
	for i, p := range pointers {
		if p != nil {
			values[i] = *p
		}
	}
	return values
}

func textsOf(bytes [][]byte) []string {
	values := make([]string, len(bytes))
	for i, b := range bytes {
		values[i] = string(b)
	}
	return values
}
