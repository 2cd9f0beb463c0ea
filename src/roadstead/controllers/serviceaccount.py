"""What every namespace has: the ServiceAccount `default` and the ConfigMap `kube-root-ca.crt` with the cluster's CA."""

from dataclasses import dataclass

from roadstead.api.objects import Object, ReadOnlyObject, is_deleting
from roadstead.controllers.actions import Action, Create, Patch

ACCOUNT = "default"
ROOT_CA = "kube-root-ca.crt"
_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


@dataclass(frozen=True, slots=True)
class Observed:
    """A namespace, its default ServiceAccount and its CA ConfigMap, and the cluster's CA as PEM."""

    namespace: ReadOnlyObject
    account: ReadOnlyObject | None
    root_ca: ReadOnlyObject | None
    ca_pem: str


def plan(observed: Observed) -> list[Action]:
    """Create what is missing, and restore a CA that was changed."""
    if is_deleting(observed.namespace):
        return []
    name = observed.namespace["metadata"]["name"]
    actions: list[Action] = []
    if observed.account is None:
        actions.append(Create(_object("ServiceAccount", ACCOUNT, name)))
    content = {"ca.crt": observed.ca_pem}
    if observed.root_ca is None:
        made = _object("ConfigMap", ROOT_CA, name)
        made["metadata"]["annotations"] = {"kubernetes.io/description": _DESCRIPTION}
        actions.append(Create({**made, "data": content}))
    elif observed.root_ca.get("data") != content:
        actions.append(Patch(observed.root_ca, {"data": content}))
    return actions


def _object(kind: str, name: str, namespace: str) -> Object:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}}
