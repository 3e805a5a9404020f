package lease

import "github.com/aws/aws-sdk-go/service/dynamodb"

// GlobalLockStore is the process's store, nil until [SetupLockStoreGlobal] was called.
var GlobalLockStore *LockStore

// SetupLockStoreGlobal sets [GlobalLockStore] to a new store, see [NewLockStore]. It sends nothing.
// Call it once at process start, before other goroutines read the variable.
func SetupLockStoreGlobal(ddb *dynamodb.DynamoDB, lockTableName, lockHashKeyName string) {
	GlobalLockStore = NewLockStore(ddb, lockTableName, lockHashKeyName)
}
