package sdkv2_test

import (
	"net/http"
	"testing"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/leasetest"
	"github.com/intercom/lease/sdkv2"
)

func TestLockStoreConforms(t *testing.T) {
	client := sdkv2.NewFromConfig(configOf(&http.Client{Transport: newTransport(t)}, ddblocal.ForTest(t).Endpoint))
	leasetest.TestStore(t, func(t *testing.T, leaseIDs ...string) leasetest.StoreInterface {
		return lease.NewLockStore(client, newTable(t, client, leaseIDs...), "id")
	})
}
