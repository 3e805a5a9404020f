// Package alerttest has nothing but tests: of leaseprom's alerts.yaml and dashboard.json, by
// Prometheus' own engine, on what leaseprom's collectors show of simulated fleets. It is a module
// of its own, so that leaseprom doesn't need Prometheus' server. As those files lie outside of it,
// Go doesn't see that they have changed: test with -count=1.
package alerttest
