#!/usr/bin/env bash
# Runs all tests, once it has installed what they need and this Debian or Ubuntu machine lacks. Its
# arguments are go test's: ./test.sh -run Fleet
set -euo pipefail
cd "$(dirname "$0")"

if ! command -v go >/dev/null; then
	echo "test.sh: Go is missing, of the version that go.mod names or later" >&2
	exit 1
fi
.ci/install
go test -race "$@" . # It computes. The others wait more than they work.
status=0
go test -C sdkv2 -race "$@" ./... &
go test -race "$@" ./... || status=$?
wait $! || status=$?
go test -C cmd/lease -race "$@" ./... || status=$?
exit $status
