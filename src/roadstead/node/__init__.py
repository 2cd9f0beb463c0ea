"""5. Pods run: plan(desired, running) -> commands; then processes, namespaces, mounts, probes and logs."""
