package main

import (
	"context"
	"fmt"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	clientset "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var (
	ships    = schema.GroupVersionResource{Group: "sea.example.com", Version: "v1", Resource: "ships"}
	shipKind = ships.GroupVersion().WithKind("Ship")
)

func shipDefinition() *apiextensions.CustomResourceDefinition {
	object := func(properties map[string]apiextensions.JSONSchemaProps) apiextensions.JSONSchemaProps {
		return apiextensions.JSONSchemaProps{Type: "object", Properties: properties}
	}
	crew := apiextensions.JSONSchemaProps{
		Type: "integer", Minimum: ptr.To(1.0), Default: &apiextensions.JSON{Raw: []byte("12")},
	}
	spec := object(map[string]apiextensions.JSONSchemaProps{"crew": crew, "name": {Type: "string"}})
	spec.Default = &apiextensions.JSON{Raw: []byte("{}")}
	status := object(map[string]apiextensions.JSONSchemaProps{
		"phase": {Type: "string"},
		"speed": {Type: "integer", Default: &apiextensions.JSON{Raw: []byte("7")}},
	})
	whole := object(map[string]apiextensions.JSONSchemaProps{"spec": spec, "status": status})
	return &apiextensions.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "ships.sea.example.com"},
		Spec: apiextensions.CustomResourceDefinitionSpec{
			Group: ships.Group, Scope: apiextensions.NamespaceScoped,
			Names: apiextensions.CustomResourceDefinitionNames{
				Plural: "ships", Singular: "ship", Kind: "Ship", ListKind: "ShipList",
			},
			Versions: []apiextensions.CustomResourceDefinitionVersion{{
				Name: "v1", Served: true, Storage: true,
				Schema:       &apiextensions.CustomResourceValidation{OpenAPIV3Schema: &whole},
				Subresources: &apiextensions.CustomResourceSubresources{Status: &apiextensions.CustomResourceSubresourceStatus{}},
			}},
		},
	}
}

func ship(name string, spec map[string]any) *unstructured.Unstructured {
	made := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	made.SetGroupVersionKind(shipKind)
	made.SetName(name)
	made.SetNamespace(namespace)
	return made
}

// define makes the custom kind unless it is there, and waits until it is served.
func define(ctx context.Context, b *bed) (dynamic.ResourceInterface, error) {
	extensions, err := clientset.NewForConfig(b.config)
	if err != nil {
		return nil, err
	}
	definitions := extensions.ApiextensionsV1().CustomResourceDefinitions()
	_, err = definitions.Create(ctx, shipDefinition(), metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, err
	}
	err = eventually(ctx, "established", func() (bool, error) {
		found, err := definitions.Get(ctx, "ships.sea.example.com", metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		for _, condition := range found.Status.Conditions {
			if condition.Type == apiextensions.Established && condition.Status == apiextensions.ConditionTrue {
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	client, err := dynamic.NewForConfig(b.config)
	if err != nil {
		return nil, err
	}
	return client.Resource(ships).Namespace(namespace), nil
}

// A custom kind's defaults, pruning and refusals.
func customKind(ctx context.Context, b *bed) error {
	fleet, err := define(ctx, b)
	if err != nil {
		return err
	}
	made, err := fleet.Create(ctx, ship("one", map[string]any{"unknown": "x"}), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	if crew, _, _ := unstructured.NestedInt64(made.Object, "spec", "crew"); crew != 12 {
		return fmt.Errorf("not defaulted: %v", made.Object)
	}
	if _, kept, _ := unstructured.NestedString(made.Object, "spec", "unknown"); kept {
		return fmt.Errorf("not pruned: %v", made.Object)
	}
	_, err = fleet.Create(ctx, ship("two", map[string]any{"crew": int64(0)}), metav1.CreateOptions{})
	if !apierrors.IsInvalid(err) {
		return fmt.Errorf("too small: %v", err)
	}
	cause := err.(apierrors.APIStatus).Status().Details.Causes[0]
	return check(cause.Field == "spec.crew", "the cause is %v", cause)
}

// A status is written on its own, and nothing else with it.
func patchStatus(ctx context.Context, b *bed) error {
	fleet, err := define(ctx, b)
	if err != nil {
		return err
	}
	made, err := fleet.Create(ctx, ship("reported", map[string]any{"crew": int64(3)}), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	direct, err := client.New(b.config, client.Options{})
	if err != nil {
		return err
	}
	before := made.DeepCopy()
	made.Object["status"] = map[string]any{"phase": "Sailing"}
	made.Object["spec"] = map[string]any{"crew": int64(99)}
	if err := direct.Status().Patch(ctx, made, client.MergeFrom(before)); err != nil {
		return err
	}
	spec, status := made.Object["spec"].(map[string]any), made.Object["status"].(map[string]any)
	if spec["crew"] != int64(3) || status["phase"] != "Sailing" || status["speed"] != int64(7) {
		return fmt.Errorf("after a patch of the status: %v", made.Object)
	}
	if made.GetGeneration() != 1 {
		return fmt.Errorf("the status counted as generation %d", made.GetGeneration())
	}
	status["phase"] = "Moored"
	if err := direct.Status().Update(ctx, made); err != nil {
		return err
	}
	err = direct.Update(ctx, made.DeepCopy())
	found, missing := fleet.Get(ctx, "reported", metav1.GetOptions{})
	if err != nil || missing != nil {
		return fmt.Errorf("%v, %v", err, missing)
	}
	phase, _, _ := unstructured.NestedString(found.Object, "status", "phase")
	return check(phase == "Moored", "the phase is %q", phase)
}
