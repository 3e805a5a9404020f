package lease

import "github.com/aws/aws-sdk-go/service/dynamodb"

// GlobalLockStore is the process's store, nil until [SetupLockStoreGlobal] was called.
var GlobalLockStore *LockStore

// SetupLockStoreGlobal sets [GlobalLockStore], see [NewLockStore]: once, at process
// start, before other goroutines read it.
func SetupLockStoreGlobal(ddb *dynamodb.DynamoDB, lockTableName, lockHashKeyName string) {
	GlobalLockStore = NewLockStore(ddb, lockTableName, lockHashKeyName)
}
