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
	t.Parallel()
	endpoint := ddblocal.ForTest(t).Endpoint
	client := sdkv2.NewFromConfig(configOf(&http.Client{Transport: newTransport(t)}, endpoint))
	leasetest.TestStore(t, func(t *testing.T, leaseIDs ...string) leasetest.StoreInterface {
		return lease.NewLockStore(client, newTable(t, client, leaseIDs...), "id")
	})
}
