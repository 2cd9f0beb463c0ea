package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// moreThanKept is a number of writes that no server of ours keeps the history of.
const moreThanKept = 1100

// cable dials the server, and can be cut.
type cable struct {
	sync.Mutex
	cut   bool
	lines []net.Conn
}

func (c *cable) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c.Lock()
	defer c.Unlock()
	if c.cut {
		return nil, errors.New("the cable is cut")
	}
	line, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err == nil {
		c.lines = append(c.lines, line)
	}
	return line, err
}

func (c *cable) set(cut bool) {
	c.Lock()
	defer c.Unlock()
	c.cut = cut
	if cut {
		for _, line := range c.lines {
			_ = line.Close()
		}
		c.lines = nil
	}
}

// An informer that was away for longer than the history reaches back starts over, and has the newest state.
func informAfterAbsence(ctx context.Context, b *bed) error {
	maps := b.typed.CoreV1().ConfigMaps(namespace)
	of := map[string]string{"of": "absence"}
	for _, name := range []string{"changes", "goes"} {
		if _, err := maps.Create(ctx, configMap(name, of), metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	way := &cable{}
	config, log := recorded(b.config)
	config.Dial = way.dial
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactoryWithOptions(typed, 0, informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(options *metav1.ListOptions) { options.LabelSelector = "of=absence" }))
	informer := factory.Core().V1().ConfigMaps()
	lister := informer.Lister()
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.Informer().HasSynced) {
		return fmt.Errorf("the informer never had its state")
	}
	way.set(true)
	if err := changeTooMuch(ctx, b, of); err != nil {
		return err
	}
	way.set(false)
	last := fmt.Sprint(moreThanKept - 1)
	err = eventually(ctx, "the newest state", func() (bool, error) {
		all, err := lister.ConfigMaps(namespace).List(labels.Everything())
		found, missing := lister.ConfigMaps(namespace).Get("changes")
		_, gone := lister.ConfigMaps(namespace).Get("goes")
		return len(all) == 2 && missing == nil && found.Data["n"] == last && apierrors.IsNotFound(gone), err
	})
	if err != nil {
		return err
	}
	return log.startedOver("configmaps")
}

func changeTooMuch(ctx context.Context, b *bed, of map[string]string) error {
	maps := b.typed.CoreV1().ConfigMaps(namespace)
	if err := maps.Delete(ctx, "goes", metav1.DeleteOptions{}); err != nil {
		return err
	}
	for number := range moreThanKept {
		changed := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "changes", Labels: of}, Data: map[string]string{"n": fmt.Sprint(number)}}
		if _, err := maps.Update(ctx, changed, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	_, err := maps.Create(ctx, configMap("comes", of), metav1.CreateOptions{})
	return err
}

// startedOver says whether a resource's state was asked for a second time.
func (r *requests) startedOver(plural string) error {
	r.Lock()
	defer r.Unlock()
	states := 0
	for _, request := range r.seen {
		if strings.Contains(request, "/"+plural+"?") && strings.Contains(request, "sendInitialEvents=true") {
			states++
		}
	}
	return check(states >= 2, "it did not start over: %s", strings.Join(r.seen, ", "))
}
