"""The vocabulary of Kubernetes: objects, kinds, selectors, conditions and errors. Pure; next comes `apiserver`."""
