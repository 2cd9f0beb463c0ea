package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

// requests remembers what a client asked for.
type requests struct {
	sync.Mutex
	seen []string
	next http.RoundTripper
}

func (r *requests) RoundTrip(request *http.Request) (*http.Response, error) {
	r.Lock()
	r.seen = append(r.seen, request.Method+" "+request.URL.RequestURI())
	r.Unlock()
	return r.next.RoundTrip(request)
}

// onlyWatched says whether a resource was watched with its initial state, and never listed.
func (r *requests) onlyWatched(plural string) error {
	r.Lock()
	defer r.Unlock()
	watched := false
	for _, request := range r.seen {
		if !strings.Contains(request, "/"+plural+"?") {
			continue
		}
		if !strings.Contains(request, "watch=true") {
			return fmt.Errorf("%s were listed: %s", plural, request)
		}
		watched = watched || strings.Contains(request, "sendInitialEvents=true")
	}
	return check(watched, "no WatchList among %s", strings.Join(r.seen, ", "))
}

func recorded(config *rest.Config) (*rest.Config, *requests) {
	log := &requests{}
	copied := rest.CopyConfig(config)
	copied.Wrap(func(next http.RoundTripper) http.RoundTripper {
		log.next = next
		return log
	})
	return copied, log
}

func configMap(name string, labels map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Data: map[string]string{"a": "1"}}
}

// An informer gets the state as a watch's first events, and then all changes in order.
func informWithWatchList(ctx context.Context, b *bed) error {
	maps := b.typed.CoreV1().ConfigMaps(namespace)
	labels := map[string]string{"of": "informer"}
	for number := range 3 {
		if _, err := maps.Create(ctx, configMap(fmt.Sprintf("informed-%d", number), labels), metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	config, log := recorded(b.config)
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactoryWithOptions(typed, 0, informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(options *metav1.ListOptions) { options.LabelSelector = "of=informer" }))
	informer := factory.Core().V1().ConfigMaps()
	told := make(chan string, 100)
	_, err = informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { told <- "add " + obj.(*corev1.ConfigMap).Name },
		UpdateFunc: func(_, obj any) { told <- "update " + obj.(*corev1.ConfigMap).Name },
		DeleteFunc: func(obj any) { told <- "delete " + obj.(*corev1.ConfigMap).Name },
	})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.Informer().HasSynced) {
		return fmt.Errorf("the informer never had its state")
	}
	for range 3 {
		<-told
	}
	if found, err := informer.Lister().ConfigMaps(namespace).Get("informed-1"); err != nil || found.Data["a"] != "1" {
		return fmt.Errorf("the lister has %v, %v", found, err)
	}
	if err := changeOneThatEntersAndLeaves(ctx, b); err != nil {
		return err
	}
	for _, expected := range []string{"add entering", "update entering", "delete entering"} {
		select {
		case seen := <-told:
			if seen != expected {
				return fmt.Errorf("told %q, not %q", seen, expected)
			}
		case <-ctx.Done():
			return fmt.Errorf("never told %q", expected)
		}
	}
	return log.onlyWatched("configmaps")
}

// An object that begins or ceases to match a selector is added or deleted for whoever watches by it.
func changeOneThatEntersAndLeaves(ctx context.Context, b *bed) error {
	maps := b.typed.CoreV1().ConfigMaps(namespace)
	made, err := maps.Create(ctx, configMap("entering", nil), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	for _, change := range []func(){
		func() { made.Labels = map[string]string{"of": "informer"} },
		func() { made.Data["a"] = "2" },
		func() { made.Labels = nil },
	} {
		change()
		if made, err = maps.Update(ctx, made, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// An informer of metadata alone.
func informOfMetadata(ctx context.Context, b *bed) error {
	config, log := recorded(b.config)
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return err
	}
	nodes := schema.GroupVersionResource{Version: "v1", Resource: "nodes"}
	factory := metadatainformer.NewSharedInformerFactory(client, 0)
	informer := factory.ForResource(nodes)
	informer.Informer()
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.Informer().HasSynced) {
		return fmt.Errorf("the informer never had its state")
	}
	found := informer.Informer().GetStore().List()
	if len(found) != 1 {
		return fmt.Errorf("%d nodes", len(found))
	}
	node, good := found[0].(*metav1.PartialObjectMetadata)
	if !good || node.UID == "" {
		return fmt.Errorf("not metadata: %#v", found[0])
	}
	return log.onlyWatched("nodes")
}

// A watch that is cut short goes on where it was.
func watchOnAfterExpiry(ctx context.Context, b *bed) error {
	maps := b.typed.CoreV1().ConfigMaps(namespace)
	list, err := maps.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	short := int64(1)
	watcher, err := watchtools.NewRetryWatcherWithContext(ctx, list.ResourceVersion, &cache.ListWatch{
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.TimeoutSeconds = &short
			options.FieldSelector = "metadata.name=retried"
			return maps.Watch(ctx, options)
		},
	})
	if err != nil {
		return err
	}
	defer watcher.Stop()
	if _, err := maps.Create(ctx, configMap("retried", nil), metav1.CreateOptions{}); err != nil {
		return err
	}
	if event := <-watcher.ResultChan(); event.Type != watch.Added {
		return fmt.Errorf("%v, not added", event)
	}
	time.Sleep(2500 * time.Millisecond) // two watches have ended meanwhile
	if err := maps.Delete(ctx, "retried", metav1.DeleteOptions{}); err != nil {
		return err
	}
	event := <-watcher.ResultChan()
	return check(event.Type == watch.Deleted, "%v, not deleted", event)
}
