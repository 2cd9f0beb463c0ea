package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// A follower leads as soon as the leader lets go of the lease.
func electLeader(ctx context.Context, b *bed) error {
	led := make(chan string, 2)
	candidate := func(ctx context.Context, name string) {
		lock := &resourcelock.LeaseLock{
			LeaseMeta: metav1.ObjectMeta{Name: "go-election", Namespace: namespace}, Client: b.typed.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: name},
		}
		leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
			Lock: lock, ReleaseOnCancel: true,
			LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 200 * time.Millisecond,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(context.Context) { led <- name },
				OnStoppedLeading: func() {},
			},
		})
	}
	first, resign := context.WithCancel(ctx)
	defer resign()
	go candidate(first, "first")
	if leader := <-led; leader != "first" {
		return fmt.Errorf("%s leads", leader)
	}
	second, stop := context.WithCancel(ctx)
	defer stop()
	go candidate(second, "second")
	select {
	case leader := <-led:
		return fmt.Errorf("%s leads beside first", leader)
	case <-time.After(time.Second):
	}
	resign()
	select {
	case <-led:
	case <-time.After(10 * time.Second):
		return errors.New("nobody leads")
	}
	lease, err := b.typed.CoordinationV1().Leases(namespace).Get(ctx, "go-election", metav1.GetOptions{})
	if err != nil {
		return err
	}
	return check(*lease.Spec.HolderIdentity == "second" && *lease.Spec.LeaseTransitions >= 1, "%v", lease.Spec)
}

// A manager with a cached client: a Deployment's child appears, is repaired, and goes with its owner.
func reconcile(ctx context.Context, b *bed) error {
	config, log := recorded(b.config)
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme.Scheme, Metrics: server.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		LeaderElection: true, LeaderElectionID: "go-manager", LeaderElectionNamespace: namespace,
	})
	if err != nil {
		return err
	}
	byOwner := func(obj client.Object) []string { return []string{obj.GetLabels()["reconciled-for"]} }
	if err := manager.GetFieldIndexer().IndexField(ctx, &corev1.ConfigMap{}, "for", byOwner); err != nil {
		return err
	}
	keeper := &keeper{manager.GetClient()}
	if err := ctrl.NewControllerManagedBy(manager).For(&appsv1.Deployment{}).Owns(&corev1.ConfigMap{}).Complete(keeper); err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- manager.Start(running) }()
	outcome := ownAndDisown(ctx, manager.GetClient())
	stop()
	return errors.Join(outcome, <-ended, log.onlyWatched("deployments"), log.onlyWatched("configmaps"))
}

type keeper struct{ client.Client }

func (k *keeper) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var owner appsv1.Deployment
	if err := k.Get(ctx, request.NamespacedName, &owner); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	child := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kept-for-" + owner.Name, Namespace: owner.Namespace}}
	_, err := ctrl.CreateOrUpdate(ctx, k.Client, child, func() error {
		child.Labels = map[string]string{"reconciled-for": owner.Name}
		child.Data = map[string]string{"replicas": fmt.Sprint(*owner.Spec.Replicas)}
		return ctrl.SetControllerReference(&owner, child, scheme.Scheme)
	})
	if apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: 20 * time.Millisecond}, nil
	}
	return ctrl.Result{}, err
}

func ownAndDisown(ctx context.Context, cached client.Client) error {
	labels := map[string]string{"app": "owner"}
	owner := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "owner", Namespace: namespace},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(int32(0)), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "registry.example.com/echo:1"}}},
			},
		},
	}
	if err := cached.Create(ctx, owner); err != nil {
		return err
	}
	replicasAre := func(wanted string) func() (bool, error) {
		return func() (bool, error) {
			var found corev1.ConfigMapList
			err := cached.List(ctx, &found, client.InNamespace(namespace), client.MatchingFields{"for": "owner"})
			var notStarted *cache.ErrCacheNotStarted
			if errors.As(err, &notStarted) {
				return false, nil
			}
			return len(found.Items) == 1 && found.Items[0].Data["replicas"] == wanted, err
		}
	}
	if err := eventually(ctx, "the child is there", replicasAre("0")); err != nil {
		return err
	}
	before := owner.DeepCopy()
	owner.Spec.Replicas = ptr.To(int32(1))
	if err := cached.Patch(ctx, owner, client.StrategicMergeFrom(before)); err != nil {
		return err
	}
	if err := eventually(ctx, "the child is changed", replicasAre("1")); err != nil {
		return err
	}
	if err := cached.Delete(ctx, owner, client.PropagationPolicy(metav1.DeletePropagationForeground)); err != nil {
		return err
	}
	return eventually(ctx, "the child is gone", func() (bool, error) {
		err := cached.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "kept-for-owner"}, &corev1.ConfigMap{})
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
}

// Events of the newer kind are recorded, and counted in a series.
func recordEvents(ctx context.Context, b *bed) error {
	about, err := b.typed.CoreV1().ConfigMaps(namespace).Create(ctx, configMap("eventful", nil), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: b.typed.EventsV1()})
	defer broadcaster.Shutdown()
	if err := broadcaster.StartRecordingToSinkWithContext(ctx); err != nil {
		return err
	}
	recorder := broadcaster.NewRecorder(scheme.Scheme, "clients")
	for range 3 {
		recorder.Eventf(about, nil, corev1.EventTypeNormal, "Tried", "Trying", "this was tried")
		time.Sleep(50 * time.Millisecond)
	}
	return eventually(ctx, "an event in a series", func() (bool, error) {
		found, err := b.typed.EventsV1().Events(namespace).List(ctx, metav1.ListOptions{FieldSelector: "regarding.name=eventful"})
		if err != nil || len(found.Items) == 0 {
			return false, err
		}
		old, err := b.typed.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{
			FieldSelector: "involvedObject.name=eventful,reason=Tried",
		})
		if err != nil {
			return false, err
		}
		same := len(old.Items) == 1 && old.Items[0].Message == "this was tried" && old.Items[0].UID == found.Items[0].UID
		return found.Items[0].Series != nil && same, nil
	})
}
