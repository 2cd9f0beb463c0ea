package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	authorization "k8s.io/api/authorization/v1"
	autoscaling "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/restmapper"
	scaleclient "k8s.io/client-go/scale"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/exec"
	"k8s.io/utils/ptr"
)

func runningPod(ctx context.Context, b *bed, name, script string) error {
	pods := b.typed.CoreV1().Pods(namespace)
	_, err := pods.Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: ptr.To(int64(0)),
			Containers: []corev1.Container{{
				Name: "main", Image: "registry.example.com/shell:1", Args: []string{script},
			}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	return eventually(ctx, name+" runs", func() (bool, error) {
		found, err := pods.Get(ctx, name, metav1.GetOptions{})
		return err == nil && found.Status.Phase == corev1.PodRunning, err
	})
}

// Commands in a pod, with input, both outputs and an exit code; and its log.
func execInPod(ctx context.Context, b *bed) error {
	if err := runningPod(ctx, b, "go-exec", "echo started; sleep 1000"); err != nil {
		return err
	}
	request := b.typed.CoreV1().RESTClient().Get().Resource("pods").Namespace(namespace).Name("go-exec").SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{
			Command: []string{"sh", "-c", "cat; echo err >&2; exit 3"}, Stdin: true, Stdout: true, Stderr: true,
		}, scheme.ParameterCodec)
	executor, err := remotecommand.NewWebSocketExecutor(b.config, "GET", request.URL().String())
	if err != nil {
		return err
	}
	var out, problems bytes.Buffer
	input := strings.Repeat("x", 1<<20)
	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{
		Stdin: strings.NewReader(input), Stdout: &out, Stderr: &problems,
	})
	var code exec.CodeExitError
	if !errors.As(err, &code) || code.Code != 3 || out.String() != input || problems.String() != "err\n" {
		return fmt.Errorf("%v, %d bytes, %q", err, out.Len(), problems.String())
	}
	stream, err := b.typed.CoreV1().Pods(namespace).GetLogs("go-exec", &corev1.PodLogOptions{}).Stream(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	log, err := io.ReadAll(stream)
	return errors.Join(err, check(string(log) == "started\n", "the log is %q", log))
}

// Scales of built-in and custom kinds by one client, and eviction that a budget refuses.
func scaleAndEvict(ctx context.Context, b *bed) error {
	apps := b.typed.AppsV1().Deployments(namespace)
	scale, err := apps.GetScale(ctx, "scaled", metav1.GetOptions{})
	if err != nil {
		return err
	}
	scale.Spec.Replicas = 1
	if _, err := apps.UpdateScale(ctx, "scaled", scale, metav1.UpdateOptions{}); err != nil {
		return err
	}
	if err := scaleByAnyKind(ctx, b); err != nil {
		return err
	}
	budget := &policy.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "budget"}}
	budget.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "scaled"}}
	budget.Spec.MinAvailable = ptr.To(intstr.FromInt32(1))
	if _, err := b.typed.PolicyV1().PodDisruptionBudgets(namespace).Create(ctx, budget, metav1.CreateOptions{}); err != nil {
		return err
	}
	pods, err := b.typed.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=scaled"})
	if err != nil || len(pods.Items) == 0 {
		return fmt.Errorf("%d pods, %v", len(pods.Items), err)
	}
	eviction := &policy.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pods.Items[0].Name, Namespace: namespace}}
	err = b.typed.PolicyV1().Evictions(namespace).Evict(ctx, eviction)
	return check(apierrors.IsTooManyRequests(err), "an eviction against the budget: %v", err)
}

func scaleByAnyKind(ctx context.Context, b *bed) error {
	cachedDiscovery := memory.NewMemCacheClient(b.typed.Discovery())
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(cachedDiscovery)
	resolver := scaleclient.NewDiscoveryScaleKindResolver(b.typed.Discovery())
	scales, err := scaleclient.NewForConfig(b.config, mapper, dynamic.LegacyAPIPathResolverFunc, resolver)
	if err != nil {
		return err
	}
	resource := schema.GroupResource{Group: "apps", Resource: "deployments"}
	found, err := scales.Scales(namespace).Get(ctx, resource, "scaled", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if found.Spec.Replicas != 1 || found.Status.Selector != "app=scaled" {
		return fmt.Errorf("the scale is %v", found)
	}
	_, err = scales.Scales(namespace).Update(ctx, resource, found, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	autoscaler := &autoscaling.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "scaled"}}
	autoscaler.Spec.MaxReplicas = 3
	autoscaler.Spec.ScaleTargetRef = autoscaling.CrossVersionObjectReference{
		APIVersion: "apps/v1", Kind: "Deployment", Name: "scaled",
	}
	_, err = b.typed.AutoscalingV1().HorizontalPodAutoscalers(namespace).Create(ctx, autoscaler, metav1.CreateOptions{})
	if apierrors.IsNotFound(err) {
		return nil // only autoscaling/v2 is served
	}
	return err
}

// Discovery in all of its forms, and the reviews that clients begin with.
func discoverEverything(ctx context.Context, b *bed) error {
	groups, lists, err := b.typed.Discovery().ServerGroupsAndResources()
	if err != nil || len(groups) < 10 || len(lists) < 10 {
		return fmt.Errorf("%d groups, %d lists, %v", len(groups), len(lists), err)
	}
	plain, err := discovery.NewDiscoveryClientForConfig(b.config)
	if err != nil {
		return err
	}
	plain.UseLegacyDiscovery = true
	legacy, err := plain.ServerPreferredResources()
	if err != nil || len(legacy) < 10 {
		return fmt.Errorf("legacy discovery: %d lists, %v", len(legacy), err)
	}
	mapper := restmapper.NewShortcutExpander(
		restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(b.typed.Discovery())), b.typed.Discovery(), nil,
	)
	found, err := mapper.ResourceFor(schema.GroupVersionResource{Resource: "deploy"})
	if err != nil || found.Resource != "deployments" {
		return fmt.Errorf("deploy is %v, %v", found, err)
	}
	paths, err := b.typed.Discovery().OpenAPIV3().Paths()
	if err != nil || paths["apis/apps/v1"] == nil {
		return fmt.Errorf("no schema of apps/v1: %v", err)
	}
	review := &authorization.SelfSubjectAccessReview{Spec: authorization.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorization.ResourceAttributes{Verb: "delete", Resource: "nodes"},
	}}
	answer, err := b.typed.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	return check(answer.Status.Allowed, "the review says %v", answer.Status)
}
