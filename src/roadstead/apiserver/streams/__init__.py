"""What is asked of a pod while it runs, passed on to the node: logs, exec, attach, port-forward."""
