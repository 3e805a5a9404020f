package sdkv2

import (
	"context"

	v2 "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
)

// operation calls one operation of the v2 client, and returns its result, or a new one for a result that nobody unmarshals.
type operation interface {
	call(ctx context.Context, client *v2.Client, params any, option func(*v2.Options)) error
	output() any
}

// operations are all operations of the service that v1 has. Of v1's parameters the v2 client gets what it chooses its
// endpoint by, and what tracing shows: the names of tables. What is sent is the JSON that v1 has made of all of them.
var operations = map[string]operation{
	"BatchExecuteStatement": on((*v2.Client).BatchExecuteStatement, nothing[v1.BatchExecuteStatementInput, v2.BatchExecuteStatementInput]),
	"BatchGetItem": on((*v2.Client).BatchGetItem, func(in *v1.BatchGetItemInput) v2.BatchGetItemInput {
		return v2.BatchGetItemInput{RequestItems: tableNames[types.KeysAndAttributes](in.RequestItems)}
	}),
	"BatchWriteItem": on((*v2.Client).BatchWriteItem, func(in *v1.BatchWriteItemInput) v2.BatchWriteItemInput {
		return v2.BatchWriteItemInput{RequestItems: tableNames[[]types.WriteRequest](in.RequestItems)}
	}),
	"CreateBackup": on((*v2.Client).CreateBackup, func(in *v1.CreateBackupInput) v2.CreateBackupInput {
		return v2.CreateBackupInput{TableName: in.TableName}
	}),
	"CreateGlobalTable": on((*v2.Client).CreateGlobalTable, func(in *v1.CreateGlobalTableInput) v2.CreateGlobalTableInput {
		return v2.CreateGlobalTableInput{GlobalTableName: in.GlobalTableName}
	}),
	"CreateTable": on((*v2.Client).CreateTable, func(in *v1.CreateTableInput) v2.CreateTableInput { return v2.CreateTableInput{TableName: in.TableName} }),
	"DeleteBackup": on((*v2.Client).DeleteBackup, func(in *v1.DeleteBackupInput) v2.DeleteBackupInput {
		return v2.DeleteBackupInput{BackupArn: in.BackupArn}
	}),
	"DeleteItem": on((*v2.Client).DeleteItem, func(in *v1.DeleteItemInput) v2.DeleteItemInput { return v2.DeleteItemInput{TableName: in.TableName} }),
	"DeleteResourcePolicy": on((*v2.Client).DeleteResourcePolicy, func(in *v1.DeleteResourcePolicyInput) v2.DeleteResourcePolicyInput {
		return v2.DeleteResourcePolicyInput{ResourceArn: in.ResourceArn}
	}),
	"DeleteTable": on((*v2.Client).DeleteTable, func(in *v1.DeleteTableInput) v2.DeleteTableInput { return v2.DeleteTableInput{TableName: in.TableName} }),
	"DescribeBackup": on((*v2.Client).DescribeBackup, func(in *v1.DescribeBackupInput) v2.DescribeBackupInput {
		return v2.DescribeBackupInput{BackupArn: in.BackupArn}
	}),
	"DescribeContinuousBackups": on((*v2.Client).DescribeContinuousBackups, func(in *v1.DescribeContinuousBackupsInput) v2.DescribeContinuousBackupsInput {
		return v2.DescribeContinuousBackupsInput{TableName: in.TableName}
	}),
	"DescribeContributorInsights": on((*v2.Client).DescribeContributorInsights, func(in *v1.DescribeContributorInsightsInput) v2.DescribeContributorInsightsInput {
		return v2.DescribeContributorInsightsInput{TableName: in.TableName}
	}),
	"DescribeEndpoints": on((*v2.Client).DescribeEndpoints, nothing[v1.DescribeEndpointsInput, v2.DescribeEndpointsInput]),
	"DescribeExport": on((*v2.Client).DescribeExport, func(in *v1.DescribeExportInput) v2.DescribeExportInput {
		return v2.DescribeExportInput{ExportArn: in.ExportArn}
	}),
	"DescribeGlobalTable": on((*v2.Client).DescribeGlobalTable, func(in *v1.DescribeGlobalTableInput) v2.DescribeGlobalTableInput {
		return v2.DescribeGlobalTableInput{GlobalTableName: in.GlobalTableName}
	}),
	"DescribeGlobalTableSettings": on((*v2.Client).DescribeGlobalTableSettings, func(in *v1.DescribeGlobalTableSettingsInput) v2.DescribeGlobalTableSettingsInput {
		return v2.DescribeGlobalTableSettingsInput{GlobalTableName: in.GlobalTableName}
	}),
	"DescribeImport": on((*v2.Client).DescribeImport, func(in *v1.DescribeImportInput) v2.DescribeImportInput {
		return v2.DescribeImportInput{ImportArn: in.ImportArn}
	}),
	"DescribeKinesisStreamingDestination": on((*v2.Client).DescribeKinesisStreamingDestination, func(in *v1.DescribeKinesisStreamingDestinationInput) v2.DescribeKinesisStreamingDestinationInput {
		return v2.DescribeKinesisStreamingDestinationInput{TableName: in.TableName}
	}),
	"DescribeLimits": on((*v2.Client).DescribeLimits, nothing[v1.DescribeLimitsInput, v2.DescribeLimitsInput]),
	"DescribeTable": on((*v2.Client).DescribeTable, func(in *v1.DescribeTableInput) v2.DescribeTableInput {
		return v2.DescribeTableInput{TableName: in.TableName}
	}),
	"DescribeTableReplicaAutoScaling": on((*v2.Client).DescribeTableReplicaAutoScaling, func(in *v1.DescribeTableReplicaAutoScalingInput) v2.DescribeTableReplicaAutoScalingInput {
		return v2.DescribeTableReplicaAutoScalingInput{TableName: in.TableName}
	}),
	"DescribeTimeToLive": on((*v2.Client).DescribeTimeToLive, func(in *v1.DescribeTimeToLiveInput) v2.DescribeTimeToLiveInput {
		return v2.DescribeTimeToLiveInput{TableName: in.TableName}
	}),
	"DisableKinesisStreamingDestination": on((*v2.Client).DisableKinesisStreamingDestination, func(in *v1.DisableKinesisStreamingDestinationInput) v2.DisableKinesisStreamingDestinationInput {
		return v2.DisableKinesisStreamingDestinationInput{TableName: in.TableName}
	}),
	"EnableKinesisStreamingDestination": on((*v2.Client).EnableKinesisStreamingDestination, func(in *v1.EnableKinesisStreamingDestinationInput) v2.EnableKinesisStreamingDestinationInput {
		return v2.EnableKinesisStreamingDestinationInput{TableName: in.TableName}
	}),
	"ExecuteStatement":   on((*v2.Client).ExecuteStatement, nothing[v1.ExecuteStatementInput, v2.ExecuteStatementInput]),
	"ExecuteTransaction": on((*v2.Client).ExecuteTransaction, nothing[v1.ExecuteTransactionInput, v2.ExecuteTransactionInput]),
	"ExportTableToPointInTime": on((*v2.Client).ExportTableToPointInTime, func(in *v1.ExportTableToPointInTimeInput) v2.ExportTableToPointInTimeInput {
		return v2.ExportTableToPointInTimeInput{TableArn: in.TableArn}
	}),
	"GetItem": on((*v2.Client).GetItem, func(in *v1.GetItemInput) v2.GetItemInput { return v2.GetItemInput{TableName: in.TableName} }),
	"GetResourcePolicy": on((*v2.Client).GetResourcePolicy, func(in *v1.GetResourcePolicyInput) v2.GetResourcePolicyInput {
		return v2.GetResourcePolicyInput{ResourceArn: in.ResourceArn}
	}),
	"ImportTable": on((*v2.Client).ImportTable, func(in *v1.ImportTableInput) v2.ImportTableInput {
		if in.TableCreationParameters == nil {
			return v2.ImportTableInput{}
		}
		return v2.ImportTableInput{TableCreationParameters: &types.TableCreationParameters{TableName: in.TableCreationParameters.TableName}}
	}),
	"ListBackups": on((*v2.Client).ListBackups, func(in *v1.ListBackupsInput) v2.ListBackupsInput { return v2.ListBackupsInput{TableName: in.TableName} }),
	"ListContributorInsights": on((*v2.Client).ListContributorInsights, func(in *v1.ListContributorInsightsInput) v2.ListContributorInsightsInput {
		return v2.ListContributorInsightsInput{TableName: in.TableName}
	}),
	"ListExports":      on((*v2.Client).ListExports, func(in *v1.ListExportsInput) v2.ListExportsInput { return v2.ListExportsInput{TableArn: in.TableArn} }),
	"ListGlobalTables": on((*v2.Client).ListGlobalTables, nothing[v1.ListGlobalTablesInput, v2.ListGlobalTablesInput]),
	"ListImports":      on((*v2.Client).ListImports, func(in *v1.ListImportsInput) v2.ListImportsInput { return v2.ListImportsInput{TableArn: in.TableArn} }),
	"ListTables":       on((*v2.Client).ListTables, nothing[v1.ListTablesInput, v2.ListTablesInput]),
	"ListTagsOfResource": on((*v2.Client).ListTagsOfResource, func(in *v1.ListTagsOfResourceInput) v2.ListTagsOfResourceInput {
		return v2.ListTagsOfResourceInput{ResourceArn: in.ResourceArn}
	}),
	"PutItem": on((*v2.Client).PutItem, func(in *v1.PutItemInput) v2.PutItemInput { return v2.PutItemInput{TableName: in.TableName} }),
	"PutResourcePolicy": on((*v2.Client).PutResourcePolicy, func(in *v1.PutResourcePolicyInput) v2.PutResourcePolicyInput {
		return v2.PutResourcePolicyInput{ResourceArn: in.ResourceArn}
	}),
	"Query": on((*v2.Client).Query, func(in *v1.QueryInput) v2.QueryInput { return v2.QueryInput{TableName: in.TableName} }),
	"RestoreTableFromBackup": on((*v2.Client).RestoreTableFromBackup, func(in *v1.RestoreTableFromBackupInput) v2.RestoreTableFromBackupInput {
		return v2.RestoreTableFromBackupInput{TargetTableName: in.TargetTableName}
	}),
	"RestoreTableToPointInTime": on((*v2.Client).RestoreTableToPointInTime, func(in *v1.RestoreTableToPointInTimeInput) v2.RestoreTableToPointInTimeInput {
		return v2.RestoreTableToPointInTimeInput{TargetTableName: in.TargetTableName}
	}),
	"Scan": on((*v2.Client).Scan, func(in *v1.ScanInput) v2.ScanInput { return v2.ScanInput{TableName: in.TableName} }),
	"TagResource": on((*v2.Client).TagResource, func(in *v1.TagResourceInput) v2.TagResourceInput {
		return v2.TagResourceInput{ResourceArn: in.ResourceArn}
	}),
	"TransactGetItems": on((*v2.Client).TransactGetItems, func(in *v1.TransactGetItemsInput) v2.TransactGetItemsInput {
		return v2.TransactGetItemsInput{TransactItems: gets(in.TransactItems)}
	}),
	"TransactWriteItems": on((*v2.Client).TransactWriteItems, func(in *v1.TransactWriteItemsInput) v2.TransactWriteItemsInput {
		return v2.TransactWriteItemsInput{TransactItems: writes(in.TransactItems)}
	}),
	"UntagResource": on((*v2.Client).UntagResource, func(in *v1.UntagResourceInput) v2.UntagResourceInput {
		return v2.UntagResourceInput{ResourceArn: in.ResourceArn}
	}),
	"UpdateContinuousBackups": on((*v2.Client).UpdateContinuousBackups, func(in *v1.UpdateContinuousBackupsInput) v2.UpdateContinuousBackupsInput {
		return v2.UpdateContinuousBackupsInput{TableName: in.TableName}
	}),
	"UpdateContributorInsights": on((*v2.Client).UpdateContributorInsights, func(in *v1.UpdateContributorInsightsInput) v2.UpdateContributorInsightsInput {
		return v2.UpdateContributorInsightsInput{TableName: in.TableName}
	}),
	"UpdateGlobalTable": on((*v2.Client).UpdateGlobalTable, func(in *v1.UpdateGlobalTableInput) v2.UpdateGlobalTableInput {
		return v2.UpdateGlobalTableInput{GlobalTableName: in.GlobalTableName}
	}),
	"UpdateGlobalTableSettings": on((*v2.Client).UpdateGlobalTableSettings, func(in *v1.UpdateGlobalTableSettingsInput) v2.UpdateGlobalTableSettingsInput {
		return v2.UpdateGlobalTableSettingsInput{GlobalTableName: in.GlobalTableName}
	}),
	"UpdateItem": on((*v2.Client).UpdateItem, func(in *v1.UpdateItemInput) v2.UpdateItemInput { return v2.UpdateItemInput{TableName: in.TableName} }),
	"UpdateKinesisStreamingDestination": on((*v2.Client).UpdateKinesisStreamingDestination, func(in *v1.UpdateKinesisStreamingDestinationInput) v2.UpdateKinesisStreamingDestinationInput {
		return v2.UpdateKinesisStreamingDestinationInput{TableName: in.TableName}
	}),
	"UpdateTable": on((*v2.Client).UpdateTable, func(in *v1.UpdateTableInput) v2.UpdateTableInput { return v2.UpdateTableInput{TableName: in.TableName} }),
	"UpdateTableReplicaAutoScaling": on((*v2.Client).UpdateTableReplicaAutoScaling, func(in *v1.UpdateTableReplicaAutoScalingInput) v2.UpdateTableReplicaAutoScalingInput {
		return v2.UpdateTableReplicaAutoScalingInput{TableName: in.TableName}
	}),
	"UpdateTimeToLive": on((*v2.Client).UpdateTimeToLive, func(in *v1.UpdateTimeToLiveInput) v2.UpdateTimeToLiveInput {
		return v2.UpdateTimeToLiveInput{TableName: in.TableName}
	}),
}

// as is an operation with v1's parameters In, v2's parameters Params, and v2's result Result.
type as[In, Params, Result any] struct {
	send  func(*v2.Client, context.Context, *Params, ...func(*v2.Options)) (*Result, error)
	names func(*In) Params
}

func on[In, Params, Result any](send func(*v2.Client, context.Context, *Params, ...func(*v2.Options)) (*Result, error),
	names func(*In) Params) operation {
	return as[In, Params, Result]{send, names}
}

func (o as[In, Params, Result]) call(ctx context.Context, client *v2.Client, params any, option func(*v2.Options)) error {
	var named Params
	if in, ok := params.(*In); ok && in != nil {
		named = o.names(in)
	}
	_, err := o.send(client, ctx, &named, option)
	return err
}

func (o as[In, Params, Result]) output() any { return new(Result) }

// nothing is for operations that name no table.
func nothing[In, Params any](*In) (none Params) { return none }

func tableNames[V2, V1 any](items map[string]V1) map[string]V2 {
	names := make(map[string]V2, len(items))
	for name := range items {
		names[name] = *new(V2)
	}
	return names
}

func gets(items []*v1.TransactGetItem) []types.TransactGetItem {
	named := make([]types.TransactGetItem, len(items))
	for i, item := range items {
		if item != nil && item.Get != nil {
			named[i].Get = &types.Get{TableName: item.Get.TableName}
		}
	}
	return named
}

func writes(items []*v1.TransactWriteItem) []types.TransactWriteItem {
	named := make([]types.TransactWriteItem, len(items))
	for i, item := range items {
		if item == nil {
			continue // The service says what is wrong with that.
		}
		if item.ConditionCheck != nil {
			named[i].ConditionCheck = &types.ConditionCheck{TableName: item.ConditionCheck.TableName}
		}
		if item.Delete != nil {
			named[i].Delete = &types.Delete{TableName: item.Delete.TableName}
		}
		if item.Put != nil {
			named[i].Put = &types.Put{TableName: item.Put.TableName}
		}
		if item.Update != nil {
			named[i].Update = &types.Update{TableName: item.Update.TableName}
		}
	}
	return named
}
