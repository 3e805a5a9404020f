// Package sdkv2 lets package lease send its requests by AWS's SDK for Go v2:
//
//	store := lease.NewLockStore(sdkv2.NewFromConfig(cfg), "leases", "id")
//
// The API of package lease is bound to the types of SDK v1, which AWS has ended its support of.
// [New] gives a v1 client that checks and builds a request, has a v2 client sign, send and
// retry it, and reads the response that came. So a service has one configuration for all of
// AWS, the network code is maintained, and nothing changes in the code that uses leases. All 57
// operations of v1's client work, with and without a context, also as requests, pages and
// waiters.
//
// # What counts
//
// All settings are those of the v2 client: credentials, region, endpoint
// (AWS_ENDPOINT_URL_DYNAMODB, BaseEndpoint, that of an account), retryer and attempts, HTTP
// client, middleware, logging, tracing, metrics. v1's own, in the Config of the client that New
// returns, count for nothing; v1 never retries. Middleware of v2 sees each operation, but of
// its parameters only the names of tables and other resources, and of a success an empty
// result. Handlers that are added to the v1 client run; those of an attempt, Send and
// CompleteAttempt, once for all that v2 makes. After a request, RetryCount is the number of
// attempts that reached the transport, less one, and AttemptTime the start of the last of
// those: of these, and of the Date header, package lease learns of lost replies and wrong
// clocks.
//
// # Errors
//
// They are those of plain v1, in all cases that the tests compare, which are over 25: the same
// type for an exception that v1 has a type for, an [awserr.RequestFailure] for other answers of
// the service, and else an [awserr.Error] with the code
//
//	RequestCanceled        the context is done, also while v2 waits for its next attempt
//	RequestError           the request could not be sent, or no response came
//	SerializationError     the body of a response ended early, or is not JSON
//	CRC32CheckFailed       the body of a success is not what its checksum says
//	NoCredentialProviders  the credentials could not be had
//	MissingRegion          the v2 client has no region; nothing was sent
//	UnknownError           any other error of v2, or of middleware
//
// [errors.As] finds v2's error in all of them where there is one, but for v1's typed
// exceptions, which have no place for it. Package lease takes UnknownError for final, unless
// the v2 client's retryer holds the cause for transient. A Heartbeat goes on after
// NoCredentialProviders.
//
// # What differs from plain v1
//
//   - Retries are v2's: three attempts in all where v1 made eleven (four, in newer releases,
//     for DynamoDB), a backoff of up to 20 s, and a quota that all requests of a client share.
//     What v2 holds for transient is tried again: a little more than in v1, and less of answers
//     of status 400 to 429 whose body is no JSON.
//   - A v2 client without credentials sends requests unsigned, where v1 fails with
//     NoCredentialProviders.
//   - Credentials that the service calls expired are dropped from v2's cache, and got anew for
//     the next attempt, as in v1. v2 alone doesn't.
//   - A body that is JSON of a wrong shape is a SerializationError at once; one that is no
//     JSON, or ends early, is retried first.
//   - Rows are read by encoding/json, which is less strict about names, and more about types,
//     than what DynamoDB sends needs; and written with maps in any order.
//   - CRC32CheckFailed is a RequestFailure, is transient to package lease, and leaves the
//     result empty.
//   - A retry doesn't leave the status or the request ID of the attempt before in a request
//     that got no response.
//   - A request can't be presigned: the error is NotImplemented. Redirects, and compression if
//     the v2 client enables it, are v2's business; a compressed response's CRC32 is not
//     checked.
//
// v1's types stay in the build, and scanners of dependencies still see v1.
//
// # Short leases
//
// Package lease itself retries what is transient for as long as a lease lasts, and gives each
// renewal a third of the time that is left. So what the SDK adds should be quick. For leases of
// about 10 s, set a backoff of at most a second, as a longer one is cut off by the third; five
// attempts, so that a release or a first look gets through a short throttling, which a renewal
// would anyhow; and no quota: in an outage it is soon used up, by other traffic of the client
// too, and requests then fail at their first error. See the example of NewFromConfig.
//
// # Connections
//
// v2 keeps 10 idle connections to a host. A worker with more leases renews them side by side,
// and opens a connection, with its TLS handshake, for most of the others each time. Set
// MaxIdleConnsPerHost to the number of leases, up to 100: see the package's example.
//
// # Versions
//
// It works with releases of github.com/aws/aws-sdk-go-v2/service/dynamodb from v1.61.0 (of July
// 2026, with aws-sdk-go-v2 v1.43.0), the first that corrects the clock of a host that is wrong,
// to v1.74.0, the newest that was tried. The tests run with both.
package sdkv2
