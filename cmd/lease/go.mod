module github.com/intercom/lease/cmd/lease

go 1.25.0

replace github.com/intercom/lease => ../..

require (
	github.com/aws/aws-sdk-go v1.55.8
	github.com/creack/pty v1.1.24
	github.com/intercom/lease v0.0.0
	github.com/spf13/cobra v1.10.2
	github.com/spf13/pflag v1.0.9
	github.com/stretchr/testify v1.12.1
	golang.org/x/sys v0.44.0
	golang.org/x/term v0.43.0
)

require (
	github.com/cpuguy83/go-md2man/v2 v2.0.6 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/jmespath/go-jmespath v0.4.0 // indirect
	github.com/russross/blackfriday/v2 v2.1.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)
