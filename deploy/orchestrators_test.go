package main

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/ecs"
	"github.com/coreos/go-systemd/v22/unit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// releases is how long a worker takes to release what it holds, at most.
const releases = 10 * time.Second

// strictJSON reads JSON into a value, and refuses fields that it doesn't have.
func strictJSON(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

// manifest is kubernetes/worker.yaml.
type manifest struct {
	account    corev1.ServiceAccount
	deployment appsv1.Deployment
	budget     policyv1.PodDisruptionBudget
}

func readManifest(t *testing.T) (m manifest) {
	t.Helper()
	text, err := os.ReadFile("kubernetes/worker.yaml")
	require.NoError(t, err)
	kinds := map[string]any{
		"v1/ServiceAccount":             &m.account,
		"apps/v1/Deployment":            &m.deployment,
		"policy/v1/PodDisruptionBudget": &m.budget,
	}
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		var kind metav1.TypeMeta
		require.NoError(t, yaml.Unmarshal([]byte(document), &kind))
		name := kind.APIVersion + "/" + kind.Kind
		require.Contains(t, kinds, name)
		require.NoError(t, yaml.UnmarshalStrict([]byte(document), kinds[name]), name)
		delete(kinds, name)
	}
	require.Empty(t, kinds)
	return m
}

func TestKubernetes_parts_belong_together(t *testing.T) {
	t.Parallel()
	m := readManifest(t)
	spec := m.deployment.Spec
	for _, of := range []metav1.ObjectMeta{m.account.ObjectMeta, m.budget.ObjectMeta} {
		assert.Equal(t, m.deployment.Namespace, of.Namespace)
	}
	assert.Equal(t, m.account.Name, spec.Template.Spec.ServiceAccountName)
	assert.Contains(t, m.account.Annotations, "eks.amazonaws.com/role-arn")
	for _, selector := range []*metav1.LabelSelector{spec.Selector, m.budget.Spec.Selector} {
		selects, err := metav1.LabelSelectorAsSelector(selector)
		require.NoError(t, err)
		assert.True(t, selects.Matches(labels.Set(spec.Template.Labels)))
	}
}

// TestKubernetes_replaces_workers_as_the_page_advises: the new ones first, and a third of a lease
// apart; by a drain one at a time, also in an outage.
func TestKubernetes_replaces_workers_as_the_page_advises(t *testing.T) {
	t.Parallel()
	m := readManifest(t)
	spec := m.deployment.Spec
	rolling := spec.Strategy.RollingUpdate
	require.NotNil(t, rolling)
	surge, err := intstr.GetScaledValueFromIntOrPercent(rolling.MaxSurge, int(*spec.Replicas), true)
	require.NoError(t, err)
	assert.Equal(t, ways["maxSurge 3, maxUnavailable 0"].atOnce, surge)
	assert.Equal(t, 0, rolling.MaxUnavailable.IntValue())
	assert.Equal(t, ready, time.Duration(spec.MinReadySeconds)*time.Second)
	assert.Equal(t, 1, m.budget.Spec.MaxUnavailable.IntValue())
	assert.Equal(t, policyv1.AlwaysAllow, *m.budget.Spec.UnhealthyPodEvictionPolicy)
}

// TestKubernetes_pod_has_time_and_a_name: time for its works and releases, a name that no other pod
// has, and no liveness probe.
func TestKubernetes_pod_has_time_and_a_name(t *testing.T) {
	t.Parallel()
	pod := readManifest(t).deployment.Spec.Template.Spec
	require.Len(t, pod.Containers, 1)
	container := pod.Containers[0]
	environment := make(map[string]corev1.EnvVar)
	for _, v := range container.Env {
		for name := range strings.SplitSeq(v.Value, "$(") {
			name, _, isReference := strings.Cut(name, ")")
			if isReference {
				assert.Contains(t, environment, name, "%s refers to what comes before it", v.Name)
			}
		}
		environment[v.Name] = v
	}
	assert.Equal(t, "$(POD_NAMESPACE)/$(POD_NAME)", environment["LESSEE_ID"].Value)
	assert.Equal(t, "eu-west-1", environment["AWS_REGION"].Value)
	assert.Equal(t, "mailboxes", environment["LEASE_TABLE"].Value)
	assert.Equal(t, "metadata.name", environment["POD_NAME"].ValueFrom.FieldRef.FieldPath)
	assert.Equal(t, "metadata.namespace", environment["POD_NAMESPACE"].ValueFrom.FieldRef.FieldPath)

	patience, err := time.ParseDuration(environment["PATIENCE"].Value)
	require.NoError(t, err)
	grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second
	assert.Greater(t, grace, patience+releases)
	assert.Nil(t, container.LivenessProbe)
	assert.Nil(t, container.StartupProbe)
	probe := container.ReadinessProbe.HTTPGet
	assert.Equal(t, container.Ports[0].Name, probe.Port.StrVal)

	// It is the one that leaseprom answers, and its example serves.
	source, err := os.ReadFile("../leaseprom/example_test.go")
	require.NoError(t, err)
	assert.Contains(t, string(source), `"`+probe.Path+`"`)
	assert.Contains(t, string(source), `:9090"`)
	assert.EqualValues(t, 9090, container.Ports[0].ContainerPort)
}

// TestECS_task_can_be_registered: the task has time to stop, a role, and a command that is understood.
func TestECS_task_can_be_registered(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("ecs/task-definition.json")
	require.NoError(t, err)
	task := &ecs.RegisterTaskDefinitionInput{}
	require.NoError(t, strictJSON(text, task))
	require.NoError(t, task.Validate())
	assert.NotEqual(t, *task.TaskRoleArn, *task.ExecutionRoleArn)
	require.Len(t, task.ContainerDefinitions, 1)
	container := task.ContainerDefinitions[0]
	const mostOfFargate = 120
	assert.LessOrEqual(t, *container.StopTimeout, int64(mostOfFargate))
	assert.Nil(t, container.HealthCheck)
	require.NotNil(t, container.LogConfiguration, "Fargate keeps no other log")
	logs := aws.StringValueMap(container.LogConfiguration.Options)

	words := aws.StringValueSlice(slices.Concat(container.EntryPoint, container.Command))
	environment := make(map[string]string)
	for _, v := range container.Environment {
		environment[*v.Name] = *v.Value
	}
	assert.Equal(t, environment["AWS_REGION"], logs["awslogs-region"])
	stops := time.Duration(*container.StopTimeout) * time.Second
	holdsAShare(t, words, environment, stops)
}

func TestECS_service_can_be_created(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("ecs/service.json")
	require.NoError(t, err)
	service := &ecs.CreateServiceInput{}
	require.NoError(t, strictJSON(text, service))
	require.NoError(t, service.Validate())
	rolling := service.DeploymentConfiguration
	assert.EqualValues(t, 100, *rolling.MinimumHealthyPercent, "the new ones first")
	surge := (*rolling.MaximumPercent - 100) * *service.DesiredCount / 100
	assert.EqualValues(t, ways["maxSurge 3, maxUnavailable 0"].atOnce, surge)
}

// TestSystemd_unit_stops_the_command_alone: in time, and its ExecStart is understood.
func TestSystemd_unit_stops_the_command_alone(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("systemd/mailer.service")
	require.NoError(t, err)
	options, err := unit.DeserializeOptions(bytes.NewReader(text))
	require.NoError(t, err)
	one := make(map[string]string)
	environment := make(map[string]string)
	for _, option := range options {
		if option.Name != "Environment" {
			assert.NotContains(t, one, option.Name)
			one[option.Name] = option.Value
			continue
		}
		for pair := range strings.FieldsSeq(option.Value) {
			name, value, isPair := strings.Cut(pair, "=")
			assert.True(t, isPair, pair)
			environment[name] = value
		}
	}
	assert.Equal(t, "mixed", one["KillMode"])
	stops, err := time.ParseDuration(one["TimeoutStopSec"] + "s")
	require.NoError(t, err)
	line := strings.ReplaceAll(one["ExecStart"], "%H", "host-1")
	holdsAShare(t, strings.Fields(line), environment, stops)
}

// holdsAShare runs a command line of "lease hold" with another command, and tells whether it works
// on the table's items, and could stop in time.
func holdsAShare(t *testing.T, words []string, environment map[string]string, stops time.Duration) {
	t.Helper()
	assert.Equal(t, "eu-west-1", environment["AWS_REGION"])
	assert.Equal(t, "mailboxes", environment["LEASE_TABLE"])
	assert.True(t, strings.HasSuffix(words[0], "/lease"), words[0])
	at := slices.Index(words, "-patience")
	require.Positive(t, at)
	patience, err := time.ParseDuration(words[at+1])
	require.NoError(t, err)
	assert.Greater(t, stops, patience+releases)

	f := newFixture(t, "a", "b")
	p := readPolicy(t, "worker").of(f.table)
	f.guard.enforce(&p)
	command := slices.Index(words, "--")
	require.Positive(t, command)
	args := slices.Concat(words[1:command+1], []string{"sh", "-c", "echo began; sleep 600"})
	_, err = f.run(environment["LEASE_KEY"], "began", args...)
	assert.NoError(t, err)
}
