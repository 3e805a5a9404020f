package sdkv2

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	v2 "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go/aws"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/aws/smithy-go/middleware"
	"github.com/stretchr/testify/assert"
)

// inputs returns v1's operations, with the types of their parameters.
func inputs() map[string]reflect.Type {
	byName := make(map[string]reflect.Type)
	iface := reflect.TypeFor[dynamodbiface.DynamoDBAPI]()
	for i := range iface.NumMethod() {
		method := iface.Method(i)
		if name, ok := strings.CutSuffix(method.Name, "Request"); ok {
			byName[name] = method.Type.In(0).Elem()
		}
	}
	return byName
}

// Those of v1's interface, and no other.
func TestOperationsAreAll(t *testing.T) {
	want := make(map[string]bool)
	for name := range inputs() {
		want[name] = true
	}
	got := make(map[string]bool)
	for name, operation := range operations {
		got[name] = true
		// The v2 operation of an entry is that of its name: its result's type says so.
		assert.Equal(t, "*dynamodb."+name+"Output", reflect.TypeOf(operation.output()).String())
	}
	assert.Equal(t, want, got)
	assert.Len(t, got, 57)
}

var errSeen = errors.New("seen")

// seen returns the parameters that v2's middleware sees of an operation.
func seen(operation operation, params any) (got any) {
	look := middleware.InitializeMiddlewareFunc("look", func(
		_ context.Context, in middleware.InitializeInput, _ middleware.InitializeHandler,
	) (out middleware.InitializeOutput, md middleware.Metadata, err error) {
		got = in.Parameters
		return out, md, errSeen
	})
	_ = operation.call(context.Background(), v2.New(v2.Options{}), params, func(o *v2.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Initialize.Add(look, middleware.Before)
		})
	})
	return got
}

// resources are what an operation may be for, the first that its parameters have.
var resources = []string{
	"TableName", "GlobalTableName", "TargetTableName",
	"BackupArn", "ExportArn", "ImportArn", "ResourceArn", "TableArn",
}

// Each names the first of the resources that both SDKs' parameters have, and nothing else.
func TestOperationsNameTheirResource(t *testing.T) {
	special := map[string]bool{
		"BatchGetItem": true, "BatchWriteItem": true, "ImportTable": true,
		"TransactGetItems": true, "TransactWriteItems": true,
	}
	for name, in := range inputs() {
		if special[name] {
			continue
		}
		params := reflect.New(in)
		resource := ""
		for _, r := range resources {
			field := params.Elem().FieldByName(r)
			if field.IsValid() && resource == "" {
				resource = r
				field.Set(reflect.ValueOf(aws.String("mine")))
			}
		}
		got := reflect.ValueOf(seen(operations[name], params.Interface())).Elem()
		for i := range got.NumField() {
			field := got.Type().Field(i)
			if !field.IsExported() {
				continue
			}
			if field.Name == resource {
				assert.Equal(t, aws.String("mine"), got.Field(i).Interface(), name)
				continue
			}
			assert.True(t, got.Field(i).IsZero(), "%s names its %s", name, field.Name)
		}
	}
}

func TestOperationsOfManyItemsNameTheirTables(t *testing.T) {
	table := aws.String("mine")
	gets := seen(operations["BatchGetItem"], &v1.BatchGetItemInput{
		RequestItems: map[string]*v1.KeysAndAttributes{"mine": {}},
	}).(*v2.BatchGetItemInput)
	assert.Contains(t, gets.RequestItems, "mine")

	writes := seen(operations["BatchWriteItem"], &v1.BatchWriteItemInput{
		RequestItems: map[string][]*v1.WriteRequest{"mine": nil},
	}).(*v2.BatchWriteItemInput)
	assert.Contains(t, writes.RequestItems, "mine")

	imported := seen(operations["ImportTable"], &v1.ImportTableInput{
		TableCreationParameters: &v1.TableCreationParameters{TableName: table},
	}).(*v2.ImportTableInput)
	assert.Equal(t, table, imported.TableCreationParameters.TableName)

	transactGets := seen(operations["TransactGetItems"], &v1.TransactGetItemsInput{
		TransactItems: []*v1.TransactGetItem{nil, {}, {Get: &v1.Get{TableName: table}}},
	}).(*v2.TransactGetItemsInput)
	assert.Len(t, transactGets.TransactItems, 3)
	assert.Equal(t, table, transactGets.TransactItems[2].Get.TableName)

	transactWrites := seen(operations["TransactWriteItems"], &v1.TransactWriteItemsInput{
		TransactItems: []*v1.TransactWriteItem{
			nil,
			{ConditionCheck: &v1.ConditionCheck{TableName: table}},
			{Delete: &v1.Delete{TableName: table}},
			{Put: &v1.Put{TableName: table}},
			{Update: &v1.Update{TableName: table}},
		},
	}).(*v2.TransactWriteItemsInput).TransactItems
	assert.Len(t, transactWrites, 5)
	assert.Equal(t, table, transactWrites[1].ConditionCheck.TableName)
	assert.Equal(t, table, transactWrites[2].Delete.TableName)
	assert.Equal(t, table, transactWrites[3].Put.TableName)
	assert.Equal(t, table, transactWrites[4].Update.TableName)
}

// Of a request that was made up, or has no parameters.
func TestOperationsOfOtherParametersNameNothing(t *testing.T) {
	for _, params := range []any{nil, (*v1.GetItemInput)(nil), &v1.ListTablesInput{}, "text"} {
		assert.Equal(t, &v2.GetItemInput{}, seen(operations["GetItem"], params))
	}
	assert.Equal(t, &v2.BatchGetItemInput{}, seen(operations["BatchGetItem"], nil))
}
