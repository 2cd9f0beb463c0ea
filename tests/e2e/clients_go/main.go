// Command clients does with a cluster what operators written in Go do: with client-go and controller-runtime.
//
// Usage: clients CASE. The cluster is KUBECONFIG's. A case that finds something else than Kubernetes would answer says
// so and exits with 1; test_clients_go.py runs one after the other.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

const (
	namespace = "default"
	patience  = 60 * time.Second
)

// A bed is what a case works with.
type bed struct {
	config *rest.Config
	typed  *kubernetes.Clientset
}

var cases = map[string]func(context.Context, *bed) error{
	"absence":         informAfterAbsence,
	"apply":           serverSideApply,
	"conflict":        updateConflict,
	"custom":          customKind,
	"delete":          deleteCollection,
	"discovery":       discoverEverything,
	"events":          recordEvents,
	"exec":            execInPod,
	"informer":        informWithWatchList,
	"leader-election": electLeader,
	"metadata":        informOfMetadata,
	"reconcile":       reconcile,
	"retry-watch":     watchOnAfterExpiry,
	"scale":           scaleAndEvict,
	"status":          patchStatus,
}

func main() {
	klog.LogToStderr(true)
	ctrl.SetLogger(klog.Background())
	if len(os.Args) != 2 || cases[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: clients CASE; the cases:")
		for name := range cases {
			fmt.Fprintln(os.Stderr, " ", name)
		}
		os.Exit(2)
	}
	if err := run(cases[os.Args[1]]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(work func(context.Context, *bed) error) error {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 200, 400
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return work(ctx, &bed{config, typed})
}

// check returns an error unless something holds.
func check(holds bool, format string, arguments ...any) error {
	if holds {
		return nil
	}
	return fmt.Errorf(format, arguments...)
}

// eventually looks until something holds.
func eventually(ctx context.Context, what string, holds func() (bool, error)) error {
	for {
		good, err := holds()
		if good || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: still not", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
