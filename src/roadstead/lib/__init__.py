"""What any program needs and Kubernetes does not explain: tasks, clock, retry, certificates, logging."""
