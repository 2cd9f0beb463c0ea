"""2. The seam: requests and informers, the only way to any API server, ours or a real one."""

from roadstead.client.client import ApiClient
from roadstead.client.credentials import Credentials, CredentialsError
from roadstead.client.events import EventRecorder
from roadstead.client.http import ServerUnreachable
from roadstead.client.informer import Informer
from roadstead.client.kubeconfig import in_cluster, read_kubeconfig

__all__ = [
    "ApiClient",
    "Credentials",
    "CredentialsError",
    "EventRecorder",
    "Informer",
    "ServerUnreachable",
    "in_cluster",
    "read_kubeconfig",
]
