package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Whoever writes an old version is refused, and may try again.
func updateConflict(ctx context.Context, b *bed) error {
	maps := b.typed.CoreV1().ConfigMaps(namespace)
	first, err := maps.Create(ctx, configMap("contended", nil), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	second := first.DeepCopy()
	first.Data["a"] = "first"
	if first, err = maps.Update(ctx, first, metav1.UpdateOptions{}); err != nil {
		return err
	}
	second.Data["b"] = "second"
	if _, err := maps.Update(ctx, second, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		return fmt.Errorf("an old version: %v", err)
	}
	unchanged, err := maps.Update(ctx, first.DeepCopy(), metav1.UpdateOptions{})
	if err != nil || unchanged.ResourceVersion != first.ResourceVersion {
		return fmt.Errorf("a write that changes nothing: %v, %v", unchanged, err)
	}
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		fresh, err := maps.Get(ctx, "contended", metav1.GetOptions{})
		if err != nil {
			return err
		}
		fresh.Data["b"] = "second"
		_, err = maps.Update(ctx, fresh, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return err
	}
	return lockedPatch(ctx, b, second)
}

// A patch with an optimistic lock is refused as an update is.
func lockedPatch(ctx context.Context, b *bed, stale *corev1.ConfigMap) error {
	direct, err := client.New(b.config, client.Options{})
	if err != nil {
		return err
	}
	before := stale.DeepCopy()
	stale.Data["c"] = "third"
	err = direct.Patch(ctx, stale, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	return check(apierrors.IsConflict(err), "a patch of an old version: %v", err)
}

// Fields have owners, and taking one takes force.
func serverSideApply(ctx context.Context, b *bed) error {
	maps := b.typed.CoreV1().ConfigMaps(namespace)
	wanted := applycore.ConfigMap("applied-go", namespace).WithData(map[string]string{"a": "1", "b": "2"})
	made, err := maps.Apply(ctx, wanted, metav1.ApplyOptions{FieldManager: "one"})
	if err != nil {
		return err
	}
	extracted, err := applycore.ExtractConfigMap(made, "one")
	if err != nil || len(extracted.Data) != 2 {
		return fmt.Errorf("extracted %v, %v", extracted, err)
	}
	other := applycore.ConfigMap("applied-go", namespace).WithData(map[string]string{"a": "other"})
	_, err = maps.Apply(ctx, other, metav1.ApplyOptions{FieldManager: "two"})
	if !apierrors.IsConflict(err) || !apierrors.HasStatusCause(err, metav1.CauseTypeFieldManagerConflict) {
		return fmt.Errorf("somebody else's field: %v", err)
	}
	if _, err = maps.Apply(ctx, other, metav1.ApplyOptions{FieldManager: "two", Force: true}); err != nil {
		return err
	}
	// What its owner leaves out goes; what was taken stays.
	runtimeClient, err := client.New(b.config, client.Options{})
	if err != nil {
		return err
	}
	rest := applycore.ConfigMap("applied-go", namespace).WithLabels(map[string]string{"x": "y"})
	if err := runtimeClient.Apply(ctx, rest, client.FieldOwner("one")); err != nil {
		return err
	}
	found, err := maps.Get(ctx, "applied-go", metav1.GetOptions{})
	if err != nil {
		return err
	}
	return check(len(found.Data) == 1 && found.Data["a"] == "other" && found.Labels["x"] == "y", "%v", found)
}

// Many at once by label, one by its uid.
func deleteCollection(ctx context.Context, b *bed) error {
	maps := b.typed.CoreV1().ConfigMaps(namespace)
	for number := range 6 {
		labels := map[string]string{"collection": []string{"a", "b", "c"}[number%3]}
		if _, err := maps.Create(ctx, configMap(fmt.Sprintf("many-%d", number), labels), metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	selected := metav1.ListOptions{LabelSelector: "collection=a"}
	if err := maps.DeleteCollection(ctx, metav1.DeleteOptions{}, selected); err != nil {
		return err
	}
	direct, err := client.New(b.config, client.Options{})
	if err != nil {
		return err
	}
	err = direct.DeleteAllOf(ctx, &corev1.ConfigMap{}, client.InNamespace(namespace), client.MatchingLabels{"collection": "b"})
	if err != nil {
		return err
	}
	left, err := maps.List(ctx, metav1.ListOptions{LabelSelector: "collection"})
	if err != nil {
		return err
	}
	var names []string
	for _, item := range left.Items {
		names = append(names, item.Name)
	}
	if strings.Join(names, " ") != "many-2 many-5" {
		return fmt.Errorf("left are %v", names)
	}
	wrong := types.UID("00000000-0000-0000-0000-000000000000")
	err = maps.Delete(ctx, "many-2", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &wrong}})
	if !apierrors.IsConflict(err) {
		return fmt.Errorf("another uid: %v", err)
	}
	right := left.Items[0].UID
	err = maps.Delete(ctx, "many-2", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &right}})
	again := maps.Delete(ctx, "many-2", metav1.DeleteOptions{})
	return errors.Join(err, check(apierrors.IsNotFound(again), "deleted twice: %v", again))
}
