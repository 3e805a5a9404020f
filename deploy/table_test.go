package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
	yaml "go.yaml.in/yaml/v3"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
)

// made is what EnsureTable asks for, of a table "mailboxes".
func made(t *testing.T) *dynamodb.CreateTableInput {
	t.Helper()
	f := newFixtureWithoutTable(t)
	require.NoError(t, f.store.EnsureTableWithContext(f.ctx))
	for _, r := range f.guard.asked {
		if r.action != "CreateTable" {
			continue
		}
		in := &dynamodb.CreateTableInput{}
		require.NoError(t, json.Unmarshal(r.body, in))
		in.TableName = aws.String("mailboxes")
		return in
	}
	require.Fail(t, "EnsureTable has made no table")
	return nil
}

// fits checks that a table fits a LockStore: by making it, under another name.
func fits(t *testing.T, in *dynamodb.CreateTableInput) {
	t.Helper()
	f := newFixtureWithoutTable(t)
	own := *in
	own.TableName = &f.table
	_, err := ddblocal.ForTest(t).Client().CreateTable(&own)
	require.NoError(t, err)
	require.NoError(t, f.direct.EnsureTable())
	require.NoError(t, f.direct.AddLeaseID("a", nil))
	_, err = lease.NewLocker(f.direct).ObtainLease(me)
	assert.NoError(t, err)
}

// template is a CloudFormation template, as far as it is read here. What else there may be in it is
// refused.
type template struct {
	AWSTemplateFormatVersion, Description string

	Parameters map[string]struct{ Type, Default, Description string }
	Resources  map[string]struct {
		Type, DeletionPolicy, UpdateReplacePolicy string
		Properties                                map[string]any
	}
	Outputs map[string]struct{ Description, Value string }
}

// readTemplate reads it with the parameters' defaults, and returns it with its only table.
func readTemplate(t *testing.T, file string) template {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var given struct {
		Parameters map[string]struct {
			Default string `yaml:"Default"`
		} `yaml:"Parameters"`
	}
	require.NoError(t, yaml.Unmarshal(text, &given))
	var root yaml.Node
	require.NoError(t, yaml.Unmarshal(text, &root))
	require.NoError(t, resolve(&root, func(tag, name string) (string, error) {
		parameter, isParameter := given.Parameters[name]
		switch {
		case tag == "!Ref" && isParameter:
			return parameter.Default, nil
		case tag == "!GetAtt" && name == "Leases.Arn":
			return exampleTable, nil
		}
		return "", fmt.Errorf("%s %s leads nowhere", tag, name)
	}))
	var value any
	require.NoError(t, root.Decode(&value))
	resolved, err := json.Marshal(value)
	require.NoError(t, err)
	var read template
	require.NoError(t, strictJSON(resolved, &read))
	return read
}

// TestTable_of_CloudFormation_is_that_of_EnsureTable: and it is protected.
func TestTable_of_CloudFormation_is_that_of_EnsureTable(t *testing.T) {
	t.Parallel()
	read := readTemplate(t, "table/cloudformation.yaml")
	require.Contains(t, read.Resources, "Leases")
	require.Len(t, read.Resources, 1)
	assert.Equal(t, exampleTable, read.Outputs["TableArn"].Value)
	table := read.Resources["Leases"]
	assert.Equal(t, "AWS::DynamoDB::Table", table.Type)
	assert.Equal(t, "Retain", table.DeletionPolicy)
	assert.Equal(t, "Retain", table.UpdateReplacePolicy)

	const recovery = "PointInTimeRecoverySpecification" // CreateTable has all but this.
	assert.Equal(t, map[string]any{"PointInTimeRecoveryEnabled": true}, table.Properties[recovery])
	delete(table.Properties, recovery)
	properties, err := json.Marshal(table.Properties)
	require.NoError(t, err)
	in := &dynamodb.CreateTableInput{}
	require.NoError(t, strictJSON(properties, in))
	assert.True(t, aws.BoolValue(in.DeletionProtectionEnabled))
	in.DeletionProtectionEnabled = nil // EnsureTable leaves that to you.
	assert.Equal(t, made(t), in)
	fits(t, in)
}

// resolve puts what they stand for in the place of CloudFormation's tags.
func resolve(node *yaml.Node, value func(tag, value string) (string, error)) error {
	if node.Tag == "!Ref" || node.Tag == "!GetAtt" {
		text, err := value(node.Tag, node.Value)
		if err != nil {
			return fmt.Errorf("line %d: %w", node.Line, err)
		}
		node.SetString(text)
		return nil
	}
	for _, child := range node.Content {
		if err := resolve(child, value); err != nil {
			return err
		}
	}
	return nil
}

// terraform is main.tf, as far as it is read here. What else there may be in it is refused.
type terraform struct {
	Variables []struct {
		Name        string         `hcl:"name,label"`
		Type        hcl.Expression `hcl:"type"`
		Default     string         `hcl:"default"`
		Description string         `hcl:"description,optional"`
	} `hcl:"variable,block"`
	Resources []struct {
		Type string   `hcl:"type,label"`
		Name string   `hcl:"name,label"`
		Body hcl.Body `hcl:",remain"`
	} `hcl:"resource,block"`
	Outputs []struct {
		Name  string         `hcl:"name,label"`
		Value hcl.Expression `hcl:"value"`
	} `hcl:"output,block"`
}

type terraformTable struct {
	Name        string `hcl:"name"`
	BillingMode string `hcl:"billing_mode"`
	HashKey     string `hcl:"hash_key"`
	Attributes  []struct {
		Name string `hcl:"name"`
		Type string `hcl:"type"`
	} `hcl:"attribute,block"`
	IsProtected bool `hcl:"deletion_protection_enabled"`
	Recovery    struct {
		Enabled bool `hcl:"enabled"`
	} `hcl:"point_in_time_recovery,block"`
}

// input is how the provider makes it.
func (tt terraformTable) input() *dynamodb.CreateTableInput {
	in := &dynamodb.CreateTableInput{
		TableName:   &tt.Name,
		BillingMode: &tt.BillingMode,
		KeySchema: []*dynamodb.KeySchemaElement{{
			AttributeName: &tt.HashKey,
			KeyType:       aws.String(dynamodb.KeyTypeHash),
		}},
	}
	for _, a := range tt.Attributes {
		in.AttributeDefinitions = append(in.AttributeDefinitions, &dynamodb.AttributeDefinition{
			AttributeName: &a.Name,
			AttributeType: &a.Type,
		})
	}
	return in
}

type terraformPolicies struct {
	ForEach []string       `hcl:"for_each"`
	Name    hcl.Expression `hcl:"name"`
	Policy  hcl.Expression `hcl:"policy"`
}

// TestTable_of_Terraform_is_that_of_EnsureTable: it is protected, and its policies are those of iam/.
func TestTable_of_Terraform_is_that_of_EnsureTable(t *testing.T) {
	t.Parallel()
	file, problems := hclparse.NewParser().ParseHCLFile("table/main.tf")
	require.False(t, problems.HasErrors(), problems)
	var config terraform
	require.Empty(t, gohcl.DecodeBody(file.Body, nil, &config))
	scope := scopeOf(config)
	require.Len(t, config.Resources, 2)

	require.Equal(t, "aws_dynamodb_table", config.Resources[0].Type)
	var table terraformTable
	require.Empty(t, gohcl.DecodeBody(config.Resources[0].Body, scope, &table))
	assert.True(t, table.IsProtected)
	assert.True(t, table.Recovery.Enabled)
	assert.Equal(t, made(t), table.input())
	fits(t, table.input())

	require.Equal(t, "aws_iam_policy", config.Resources[1].Type)
	const arn = "arn:aws:dynamodb:us-west-2:210987654321:table/leases"
	scope.Variables["aws_dynamodb_table"] = objectOf("leases", objectOf("arn", cty.StringVal(arn)))
	var policies terraformPolicies
	require.Empty(t, gohcl.DecodeBody(config.Resources[1].Body, scope, &policies))
	require.NotEmpty(t, policies.ForEach)
	for _, role := range policies.ForEach {
		scope.Variables["each"] = objectOf("key", cty.StringVal(role))
		value, problems := policies.Policy.Value(scope)
		require.Empty(t, problems)
		parsed, err := parsePolicy([]byte(value.AsString()))
		require.NoError(t, err)
		for i, s := range parsed.Statement {
			assert.Equal(t, []string{arn}, s.Resource)
			parsed.Statement[i].Resource = []string{exampleTable}
		}
		assert.Equal(t, readPolicy(t, role), parsed)
		name, problems := policies.Name.Value(scope)
		require.Empty(t, problems)
		assert.Equal(t, "lease-"+role+"-mailboxes", name.AsString())
	}
}

func objectOf(name string, value cty.Value) cty.Value {
	return cty.ObjectVal(map[string]cty.Value{name: value})
}

// scopeOf has the variables of a configuration, and the functions that it calls.
func scopeOf(config terraform) *hcl.EvalContext {
	variables := make(map[string]cty.Value)
	for _, v := range config.Variables {
		variables[v.Name] = cty.StringVal(v.Default)
	}
	return &hcl.EvalContext{
		Variables: map[string]cty.Value{
			"var":  cty.ObjectVal(variables),
			"path": objectOf("module", cty.StringVal("table")),
		},
		Functions: map[string]function.Function{
			"file":    fileFunction,
			"replace": stdlib.ReplaceFunc,
			"toset":   stdlib.MakeToFunc(cty.Set(cty.String)),
		},
	}
}

// fileFunction is Terraform's file().
var fileFunction = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "path", Type: cty.String}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		text, err := os.ReadFile(filepath.Clean(args[0].AsString()))
		return cty.StringVal(string(text)), err
	},
})
