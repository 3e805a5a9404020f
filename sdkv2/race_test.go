//go:build race

package sdkv2_test

func init() { raceEnabled = true }
