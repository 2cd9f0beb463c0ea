"""Between sockets and verbs: ASGI, media types, paths and parameters. Nothing of Kubernetes' kinds is decided here."""
