package sdkv2

import (
	"context"
	"reflect"
	"slices"

	v2 "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
)

// operation calls one operation of the v2 client.
type operation interface {
	// call calls it for what v1's parameters name.
	call(ctx context.Context, client *v2.Client, params any, option func(*v2.Options)) error

	// output returns a new result: for one that nobody unmarshals.
	output() any
}

// operations are all operations of the service that v1 has. Of v1's parameters the v2 client
// gets what it chooses its endpoint by, and what tracing shows: the resource that each names
// here. What is sent is the JSON that v1 has made of all of them.
var operations = map[string]operation{
	// Items.
	"BatchGetItem":       naming((*v2.Client).BatchGetItem, tablesOfGets),
	"BatchWriteItem":     naming((*v2.Client).BatchWriteItem, tablesOfWrites),
	"DeleteItem":         on((*v2.Client).DeleteItem, "TableName"),
	"GetItem":            on((*v2.Client).GetItem, "TableName"),
	"PutItem":            on((*v2.Client).PutItem, "TableName"),
	"Query":              on((*v2.Client).Query, "TableName"),
	"Scan":               on((*v2.Client).Scan, "TableName"),
	"TransactGetItems":   naming((*v2.Client).TransactGetItems, tablesOfTransactGets),
	"TransactWriteItems": naming((*v2.Client).TransactWriteItems, tablesOfTransactWrites),
	"UpdateItem":         on((*v2.Client).UpdateItem, "TableName"),

	// Statements.
	"BatchExecuteStatement": on((*v2.Client).BatchExecuteStatement, nothing),
	"ExecuteStatement":      on((*v2.Client).ExecuteStatement, nothing),
	"ExecuteTransaction":    on((*v2.Client).ExecuteTransaction, nothing),

	// Tables.
	"CreateTable":        on((*v2.Client).CreateTable, "TableName"),
	"DeleteTable":        on((*v2.Client).DeleteTable, "TableName"),
	"DescribeEndpoints":  on((*v2.Client).DescribeEndpoints, nothing),
	"DescribeLimits":     on((*v2.Client).DescribeLimits, nothing),
	"DescribeTable":      on((*v2.Client).DescribeTable, "TableName"),
	"DescribeTimeToLive": on((*v2.Client).DescribeTimeToLive, "TableName"),
	"ListTables":         on((*v2.Client).ListTables, nothing),
	"UpdateTable":        on((*v2.Client).UpdateTable, "TableName"),
	"UpdateTimeToLive":   on((*v2.Client).UpdateTimeToLive, "TableName"),

	// What watches and scales tables.
	"DescribeContributorInsights":     on((*v2.Client).DescribeContributorInsights, "TableName"),
	"DescribeTableReplicaAutoScaling": on((*v2.Client).DescribeTableReplicaAutoScaling, "TableName"),
	"ListContributorInsights":         on((*v2.Client).ListContributorInsights, "TableName"),
	"UpdateContributorInsights":       on((*v2.Client).UpdateContributorInsights, "TableName"),
	"UpdateTableReplicaAutoScaling":   on((*v2.Client).UpdateTableReplicaAutoScaling, "TableName"),

	// Streams.
	"DescribeKinesisStreamingDestination": on(
		(*v2.Client).DescribeKinesisStreamingDestination, "TableName",
	),
	"DisableKinesisStreamingDestination": on(
		(*v2.Client).DisableKinesisStreamingDestination, "TableName",
	),
	"EnableKinesisStreamingDestination": on(
		(*v2.Client).EnableKinesisStreamingDestination, "TableName",
	),
	"UpdateKinesisStreamingDestination": on(
		(*v2.Client).UpdateKinesisStreamingDestination, "TableName",
	),

	// Global tables.
	"CreateGlobalTable":           on((*v2.Client).CreateGlobalTable, "GlobalTableName"),
	"DescribeGlobalTable":         on((*v2.Client).DescribeGlobalTable, "GlobalTableName"),
	"DescribeGlobalTableSettings": on((*v2.Client).DescribeGlobalTableSettings, "GlobalTableName"),
	"ListGlobalTables":            on((*v2.Client).ListGlobalTables, nothing),
	"UpdateGlobalTable":           on((*v2.Client).UpdateGlobalTable, "GlobalTableName"),
	"UpdateGlobalTableSettings":   on((*v2.Client).UpdateGlobalTableSettings, "GlobalTableName"),

	// Backups.
	"CreateBackup":              on((*v2.Client).CreateBackup, "TableName"),
	"DeleteBackup":              on((*v2.Client).DeleteBackup, "BackupArn"),
	"DescribeBackup":            on((*v2.Client).DescribeBackup, "BackupArn"),
	"DescribeContinuousBackups": on((*v2.Client).DescribeContinuousBackups, "TableName"),
	"ListBackups":               on((*v2.Client).ListBackups, "TableName"),
	"RestoreTableFromBackup":    on((*v2.Client).RestoreTableFromBackup, "TargetTableName"),
	"RestoreTableToPointInTime": on((*v2.Client).RestoreTableToPointInTime, "TargetTableName"),
	"UpdateContinuousBackups":   on((*v2.Client).UpdateContinuousBackups, "TableName"),

	// Exports and imports.
	"DescribeExport":           on((*v2.Client).DescribeExport, "ExportArn"),
	"DescribeImport":           on((*v2.Client).DescribeImport, "ImportArn"),
	"ExportTableToPointInTime": on((*v2.Client).ExportTableToPointInTime, "TableArn"),
	"ImportTable":              naming((*v2.Client).ImportTable, importedTable),
	"ListExports":              on((*v2.Client).ListExports, "TableArn"),
	"ListImports":              on((*v2.Client).ListImports, "TableArn"),

	// Policies and tags.
	"DeleteResourcePolicy": on((*v2.Client).DeleteResourcePolicy, "ResourceArn"),
	"GetResourcePolicy":    on((*v2.Client).GetResourcePolicy, "ResourceArn"),
	"ListTagsOfResource":   on((*v2.Client).ListTagsOfResource, "ResourceArn"),
	"PutResourcePolicy":    on((*v2.Client).PutResourcePolicy, "ResourceArn"),
	"TagResource":          on((*v2.Client).TagResource, "ResourceArn"),
	"UntagResource":        on((*v2.Client).UntagResource, "ResourceArn"),
}

// nothing is the resource of an operation that names none.
const nothing = ""

// as is an operation with v2's parameters Params, and v2's result Result.
type as[Params, Result any] struct {
	send sender[Params, Result]

	// name writes the resource into v2's parameters that v1's name.
	name func(to *Params, params any)
}

// sender is a method of the v2 client.
type sender[Params, Result any] func(
	*v2.Client, context.Context, *Params, ...func(*v2.Options),
) (*Result, error)

// on is an operation whose resource is that field of its parameters, in both SDKs.
func on[Params, Result any](send sender[Params, Result], resource string) operation {
	name := func(to *Params, params any) { copyField(to, params, resource) }
	if resource == nothing {
		name = func(*Params, any) {}
	}
	return as[Params, Result]{send: send, name: name}
}

// naming is an operation whose resources a function finds in v1's parameters.
func naming[In, Params, Result any](
	send sender[Params, Result], resources func(*In) Params,
) operation {
	name := func(to *Params, params any) {
		in, ok := params.(*In)
		if ok && in != nil {
			*to = resources(in)
		}
	}
	return as[Params, Result]{send: send, name: name}
}

func (o as[Params, Result]) call(
	ctx context.Context, client *v2.Client, params any, option func(*v2.Options),
) error {
	var named Params
	o.name(&named, params)
	_, err := o.send(client, ctx, &named, option)
	return err
}

func (o as[Params, Result]) output() any { return new(Result) }

// copyField copies the field of that name from v1's parameters to v2's. Parameters that have
// none, of a request that was made up, name nothing.
func copyField(to, params any, name string) {
	from := reflect.ValueOf(params)
	if from.Kind() != reflect.Pointer || from.IsNil() {
		return
	}
	source, ok := field(from.Elem(), name)
	if !ok {
		return
	}
	if target, ok := field(reflect.ValueOf(to).Elem(), name); ok {
		target.Set(source)
	}
}

// field returns the field of that name. It allocates nothing.
func field(v reflect.Value, name string) (reflect.Value, bool) {
	if v.Kind() != reflect.Struct {
		return reflect.Value{}, false
	}
	i := slices.Index(fieldNames(v.Type()), name)
	if i < 0 {
		return reflect.Value{}, false
	}
	return v.Field(i), true
}

func tablesOfGets(in *v1.BatchGetItemInput) v2.BatchGetItemInput {
	return v2.BatchGetItemInput{RequestItems: tableNames[types.KeysAndAttributes](in.RequestItems)}
}

func tablesOfWrites(in *v1.BatchWriteItemInput) v2.BatchWriteItemInput {
	return v2.BatchWriteItemInput{RequestItems: tableNames[[]types.WriteRequest](in.RequestItems)}
}

func tableNames[V2, V1 any](items map[string]V1) map[string]V2 {
	names := make(map[string]V2, len(items))
	for name := range items {
		names[name] = *new(V2)
	}
	return names
}

func importedTable(in *v1.ImportTableInput) v2.ImportTableInput {
	created := in.TableCreationParameters
	if created == nil {
		return v2.ImportTableInput{}
	}
	named := &types.TableCreationParameters{TableName: created.TableName}
	return v2.ImportTableInput{TableCreationParameters: named}
}

func tablesOfTransactGets(in *v1.TransactGetItemsInput) v2.TransactGetItemsInput {
	named := make([]types.TransactGetItem, len(in.TransactItems))
	for i, item := range in.TransactItems {
		if item != nil && item.Get != nil {
			named[i].Get = &types.Get{TableName: item.Get.TableName}
		}
	}
	return v2.TransactGetItemsInput{TransactItems: named}
}

func tablesOfTransactWrites(in *v1.TransactWriteItemsInput) v2.TransactWriteItemsInput {
	named := make([]types.TransactWriteItem, len(in.TransactItems))
	for i, item := range in.TransactItems {
		if item != nil { // The service says what is wrong with nil.
			named[i] = tableOfWrite(item)
		}
	}
	return v2.TransactWriteItemsInput{TransactItems: named}
}

func tableOfWrite(item *v1.TransactWriteItem) (named types.TransactWriteItem) {
	if item.ConditionCheck != nil {
		named.ConditionCheck = &types.ConditionCheck{TableName: item.ConditionCheck.TableName}
	}
	if item.Delete != nil {
		named.Delete = &types.Delete{TableName: item.Delete.TableName}
	}
	if item.Put != nil {
		named.Put = &types.Put{TableName: item.Put.TableName}
	}
	if item.Update != nil {
		named.Update = &types.Update{TableName: item.Update.TableName}
	}
	return named
}
