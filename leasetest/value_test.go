package leasetest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/leasetest"
)

type value = dynamodb.AttributeValue

func numbers(ns ...string) value { return value{NS: aws.StringSlice(ns)} }
func strs(ss ...string) value    { return value{SS: aws.StringSlice(ss)} }
func list(vs ...*value) value    { return value{L: vs} }

var goodValues = []value{
	{S: aws.String("")},
	{B: []byte{}},
	{BOOL: aws.Bool(false)},
	{NULL: aws.Bool(true)},
	{M: row{}},
	{L: []*value{}},
	list(&value{M: row{"x": num(1)}}),
	strs("x", "y"),
	strs(""),
	numbers("1", "2"),
	{BS: [][]byte{{1}, {2}}},
}

var badValues = []value{
	{},
	{S: aws.String("x"), N: aws.String("1")},
	{NULL: aws.Bool(false)},
	{M: row{"": num(1)}},
	{M: row{"x": {}}},
	{M: row{"x": nil}},
	list(&value{N: aws.String("x")}),
	{SS: []*string{}},
	strs("x", "x"),
	{NS: []*string{}},
	numbers("1", "x"),
	numbers("1", "1.0"),
	numbers(""),
	{BS: [][]byte{}},
	{BS: [][]byte{{1}, {1}}},
}

var goodNumbers = []string{
	"0", "-0", "1", "-1", "+1", "007", "1.50", ".5", "1.", "1e3", "1E+3", "1e-3", "0e999",
	"1E-130", "-1E-130", "9.9999999999999999999999999999999999999E125",
	strings.Repeat("9", 38),
	"1" + strings.Repeat("0", 60),
	"0." + strings.Repeat("0", 60) + "1",
	strings.Repeat("0", 60) + "1",
}

var badNumbers = []string{
	"", " ", "x", "1x", " 1", "1 ", "1,5", "1_000", "0x1", "NaN", "Infinity", "+", "-", ".", "e1",
	"1e", "1e1.5", "--1", "1E126", "-1E126", "9E-131", "1e99999",
	strings.Repeat("9", 39),
	"1" + strings.Repeat("0", 37) + "1",
}

// TestStoreRefusesTheValuesThatDynamoDBRefuses, when they are registered and when they are saved.
func TestStoreRefusesTheValuesThatDynamoDBRefuses(t *testing.T) {
	t.Run("leasetest", func(t *testing.T) { refusesBadValues(t, leasetest.NewStore()) })
	t.Run("LockStore", func(t *testing.T) {
		// DynamoDB Local answers some with a 500, which would be sent again and again.
		client := ddblocal.ForTest(t).Client(&aws.Config{MaxRetries: aws.Int(0)})
		store, _ := newTable(t, client, leasetest.HashKey)
		refusesBadValues(t, store)
	})
}

func refusesBadValues(t *testing.T, store leasetest.StoreInterface) {
	require.NoError(t, store.AddLeaseID("a", nil))
	l, err := store.Lease("a", for30s("w1"), time.Now().Add(time.Hour))
	require.NoError(t, err)
	registered := 0
	try := func(attributes row, isGood bool) {
		registered++
		saveErr := store.SaveAttributes(t.Context(), l, attributes)
		addErr := store.AddLeaseID(fmt.Sprint(registered), attributes)
		assert.Equal(t, isGood, saveErr == nil, "save %.100v: %v", show(attributes), saveErr)
		assert.Equal(t, isGood, addErr == nil, "add %.100v: %v", show(attributes), addErr)
	}

	for _, v := range goodValues {
		try(row{"v": &v}, true)
	}
	for _, v := range badValues {
		try(row{"v": &v}, false)
	}
	for _, n := range goodNumbers {
		try(row{"v": {N: &n}}, true)
	}
	for _, n := range badNumbers {
		try(row{"v": {N: &n}}, false)
	}
	try(row{"ü": num(1)}, true)
	try(row{"\xff": num(1)}, false)
	try(row{"": num(1)}, false)
	try(row{strings.Repeat("x", 65536): num(1)}, false)
}
