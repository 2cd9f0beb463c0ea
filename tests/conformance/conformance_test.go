// Package conformance runs the official Gateway API conformance suite. `scripts/conformance` prepares a cluster and
// the suite's images, and runs this.
package conformance

import (
	"testing"

	"sigs.k8s.io/gateway-api/conformance"
)

func TestConformance(t *testing.T) {
	conformance.RunConformance(t)
}
