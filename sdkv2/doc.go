// Package sdkv2 bridges.
package sdkv2
