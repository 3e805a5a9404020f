module github.com/intercom/lease

go 1.25.0

require (
	github.com/aws/aws-sdk-go v1.55.8
	github.com/stretchr/testify v1.12.1
	go.uber.org/goleak v1.3.0
)

require (
	github.com/jmespath/go-jmespath v0.4.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)
