"""2. The seam: requests and informers, the only way to any API server, ours or a real one."""

from roadstead.client.client import ApiClient
from roadstead.client.credentials import Credentials, CredentialsError
from roadstead.client.events import EventRecorder
from roadstead.client.http import ServerUnreachable
from roadstead.client.informer import Informer
from roadstead.client.kubeconfig import in_cluster, read_kubeconfig
from roadstead.client.shared import Informers, SharedInformers, own_informers

__all__ = [
    "ApiClient",
    "Credentials",
    "CredentialsError",
    "EventRecorder",
    "Informer",
    "Informers",
    "ServerUnreachable",
    "SharedInformers",
    "in_cluster",
    "own_informers",
    "read_kubeconfig",
]
