package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// policy is an IAM policy, as far as the files in iam/ use that language. What else there is in it
// is refused, not passed over.
type policy struct {
	Version   string
	Statement []statement
}

type statement struct {
	Sid       string
	Effect    string
	Action    []string
	Resource  []string
	Condition map[string]map[string][]string // operator, condition key, values
}

// exampleTable is how the files name the table.
const exampleTable = "arn:aws:dynamodb:eu-west-1:123456789012:table/mailboxes"

func arnOf(table string) string {
	return strings.Replace(exampleTable, "mailboxes", table, 1)
}

func readPolicy(tb testing.TB, role string) policy {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("iam", role+".json"))
	require.NoError(tb, err)
	p, err := parsePolicy(text)
	require.NoError(tb, err, role)
	return p
}

func parsePolicy(text []byte) (policy, error) {
	var p policy
	if err := strictJSON(text, &p); err != nil {
		return p, err
	}
	return p, p.check()
}

// allowing is a policy of these actions on one table.
func allowing(table string, actions []string) policy {
	p := policy{Version: policyVersion}
	s := statement{Effect: "Allow", Resource: []string{arnOf(table)}}
	for _, action := range actions {
		s.Action = append(s.Action, actionPrefix+action)
	}
	if len(actions) > 0 {
		p.Statement = append(p.Statement, s)
	}
	return p
}

const (
	policyVersion = "2012-10-17"
	actionPrefix  = "dynamodb:"
)

func (p policy) check() error {
	if p.Version != policyVersion {
		return fmt.Errorf("the version is %q; want %q", p.Version, policyVersion)
	}
	for _, s := range p.Statement {
		if err := s.check(); err != nil {
			return fmt.Errorf("statement %q: %w", s.Sid, err)
		}
	}
	return nil
}

func (s statement) check() error {
	if s.Effect != "Allow" {
		return fmt.Errorf("the effect is %q; want Allow", s.Effect)
	}
	if !regexp.MustCompile(`^[A-Za-z0-9]*$`).MatchString(s.Sid) {
		return fmt.Errorf("the Sid has more than letters and digits")
	}
	for _, action := range s.Action {
		if !isAction(action) {
			return fmt.Errorf("%q is no action of DynamoDB", action)
		}
	}
	for operator, keys := range s.Condition {
		if operators[operator] == nil {
			return fmt.Errorf("the operator %q isn't known here", operator)
		}
		for key := range keys {
			if !slices.Contains(conditionKeys, key) {
				return fmt.Errorf("the condition key %q isn't known here", key)
			}
		}
	}
	return nil
}

// isAction tells of an action that the SDK has a request for.
func isAction(action string) bool {
	name, isOfDynamoDB := strings.CutPrefix(action, actionPrefix)
	_, isThere := reflect.TypeFor[*dynamodb.DynamoDB]().MethodByName(name + "Request")
	return isOfDynamoDB && isThere
}

// of is the policy for another table than that of the files.
func (p policy) of(table string) policy {
	text, _ := json.Marshal(p)
	text = bytes.ReplaceAll(text, []byte(exampleTable), []byte(arnOf(table)))
	parsed, err := parsePolicy(text)
	if err != nil {
		panic(err) // It was a policy before.
	}
	return parsed
}

// actions are those that a policy allows on a table, each once.
func (p policy) actions(table string) (names []string) {
	for _, s := range p.Statement {
		if !slices.Contains(s.Resource, arnOf(table)) {
			continue
		}
		for _, action := range s.Action {
			names = append(names, strings.TrimPrefix(action, actionPrefix))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// without is the policy that lacks an action.
func (p policy) without(action string) policy {
	less := policy{Version: p.Version}
	for _, s := range p.Statement {
		s.Action = slices.DeleteFunc(slices.Clone(s.Action), func(a string) bool {
			return a == actionPrefix+action
		})
		less.Statement = append(less.Statement, s)
	}
	return less
}

// allows tells whether a statement allows the request: all else is denied.
func (p policy) allows(r asked) bool {
	return slices.ContainsFunc(p.Statement, func(s statement) bool { return s.allows(r) })
}

func (s statement) allows(r asked) bool {
	isOfAction := slices.Contains(s.Action, actionPrefix+r.action)
	isOfTable := slices.Contains(s.Resource, arnOf(r.table))
	if !isOfAction || !isOfTable {
		return false
	}
	for operator, keys := range s.Condition {
		for key, values := range keys {
			if !operators[operator](r.keys[key], values) {
				return false
			}
		}
	}
	return true
}

// conditionKeys are those that a request has values for, see askedBy.
var conditionKeys = []string{leadingKeys, attributesKey, selectKey}

const (
	leadingKeys   = "dynamodb:LeadingKeys"
	attributesKey = "dynamodb:Attributes"
	selectKey     = "dynamodb:Select"
)

// operators tell whether a condition holds for what a request has of its key: nothing, if the
// request has no such key.
var operators = map[string]func(have, want []string) bool{
	"ForAllValues:StringEquals": func(have, want []string) bool {
		return all(have, func(v string) bool { return slices.Contains(want, v) })
	},
	"ForAllValues:StringLike": func(have, want []string) bool {
		return all(have, func(v string) bool { return isLikeAny(v, want) })
	},
	"StringEqualsIfExists": func(have, want []string) bool {
		return all(have, func(v string) bool { return slices.Contains(want, v) })
	},
	"Null": func(have, want []string) bool {
		isNull := fmt.Sprint(len(have) == 0)
		return slices.Contains(want, isNull)
	},
}

func all(values []string, holds func(string) bool) bool {
	return !slices.ContainsFunc(values, func(v string) bool { return !holds(v) })
}

func isLikeAny(value string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		quoted := regexp.QuoteMeta(pattern)
		quoted = strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(quoted)
		return regexp.MustCompile("(?s)^" + quoted + "$").MatchString(value)
	})
}

// asked is what a request asks for, as IAM sees it.
type asked struct {
	action, table string
	keys          map[string][]string // condition keys
	body          []byte
}

// askedBy reads a request: an action, and its JSON.
func askedBy(action string, body []byte) (asked, error) {
	var in struct {
		TableName                string
		Key                      map[string]map[string]any
		Item                     map[string]map[string]any
		ProjectionExpression     string
		ExpressionAttributeNames map[string]string
		Select                   string
		KeySchema                []struct{ AttributeName, KeyType string }
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return asked{}, err
	}
	r := asked{action: action, table: in.TableName, keys: make(map[string][]string), body: body}
	for _, value := range in.Key { // The tables of leases have no sort key.
		r.keys[leadingKeys] = []string{fmt.Sprint(value["S"])}
	}
	if in.ProjectionExpression != "" {
		for name := range strings.SplitSeq(in.ProjectionExpression, ", ") {
			attribute := orItself(in.ExpressionAttributeNames, name)
			r.keys[attributesKey] = append(r.keys[attributesKey], attribute)
		}
	}
	if action == "Scan" {
		r.keys[selectKey] = []string{selected(in.Select, in.ProjectionExpression)}
	}
	return r, nil
}

func orItself(names map[string]string, name string) string {
	if long, isPlaceholder := names[name]; isPlaceholder {
		return long
	}
	return name
}

// selected is what a scan selects, by what DynamoDB says of requests that don't say it.
func selected(given, projection string) string {
	if given != "" {
		return given
	}
	if projection != "" {
		return "SPECIFIC_ATTRIBUTES"
	}
	return "ALL_ATTRIBUTES"
}

func TestPolicy_allows_what_it_says_and_nothing_else(t *testing.T) {
	t.Parallel()
	p := allowing("t", []string{"Scan"})
	assert.True(t, p.allows(asked{action: "Scan", table: "t"}))
	assert.False(t, p.allows(asked{action: "Scan", table: "t2"}))
	assert.False(t, p.allows(asked{action: "UpdateItem", table: "t"}))
	assert.False(t, p.without("Scan").allows(asked{action: "Scan", table: "t"}))

	for statement, want := range map[string]string{
		`"Effect":"Allow","NotAction":["x"]`:             "NotAction",
		`"Effect":"Deny"`:                                "effect",
		`"Effect":"Allow","Action":["dynamodb:Scans"]`:   "Scans",
		`"Effect":"Allow","Condition":{"Bool":{}}`:       "Bool",
		`"Effect":"Allow","Condition":{"Null":{"a":[]}}`: `"a"`,
	} {
		_, err := parsePolicy([]byte(`{"Version":"2012-10-17","Statement":[{` + statement + `}]}`))
		assert.ErrorContains(t, err, want)
	}
	_, err := parsePolicy([]byte(`{"Version":"2008-10-17","Statement":[]}`))
	assert.ErrorContains(t, err, "2008-10-17")
}

func TestPolicy_conditions_are_judged_by_what_a_request_has(t *testing.T) {
	t.Parallel()
	one := func(action, body string) asked {
		r, err := askedBy(action, []byte(body))
		require.NoError(t, err)
		return r
	}
	update := one("UpdateItem", `{"TableName":"mailboxes","Key":{"mailbox":{"S":"team-a-1"}}}`)
	other := one("UpdateItem", `{"TableName":"mailboxes","Key":{"mailbox":{"S":"team-b-1"}}}`)
	assert.True(t, readPolicy(t, "worker-of-prefix").allows(update))
	assert.False(t, readPolicy(t, "worker-of-prefix").allows(other))
	ofNoItem := one("UpdateItem", `{"TableName":"mailboxes"}`)
	assert.False(t, readPolicy(t, "worker-of-prefix").allows(ofNoItem), "all of no keys are like any")

	few := one("Scan", `{"TableName":"mailboxes","ProjectionExpression":"#key, #h",
		"ExpressionAttributeNames":{"#key":"mailbox","#h":"ProcessID"}}`)
	secret := one("Scan", `{"TableName":"mailboxes","ProjectionExpression":"Password"}`)
	everything := one("Scan", `{"TableName":"mailboxes"}`)
	assert.True(t, readPolicy(t, "viewer-of-leases").allows(few))
	assert.False(t, readPolicy(t, "viewer-of-leases").allows(secret))
	assert.False(t, readPolicy(t, "viewer-of-leases").allows(everything))
	claimsFew := one("Scan", `{"TableName":"mailboxes","ProjectionExpression":"mailbox","Select":"ALL_ATTRIBUTES"}`)
	assert.False(t, readPolicy(t, "viewer-of-leases").allows(claimsFew))
}
