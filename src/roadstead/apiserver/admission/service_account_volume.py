"""The volume by which a pod can speak to the API server: its account's token, the cluster's CA, its namespace. Pure.

As the ServiceAccount admission plugin of Kubernetes adds it to every pod that does not decline
(kubernetes plugin/pkg/admission/serviceaccount/admission.go).
"""

from roadstead.api.objects import Object, ReadOnlyObject
from roadstead.apiserver.lifecycle import generated_name

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
_TOKEN_SECONDS = 3607
_PREFIX = "kube-api-access-"


def mount_token(pod: Object, account: ReadOnlyObject | None) -> None:
    """Give every container of a new pod the volume, in place, unless pod or account decline, or it has its own."""
    spec = pod.get("spec")
    if not isinstance(spec, dict) or not _wanted(spec, account):
        return
    name = next((volume["name"] for volume in spec.get("volumes") or () if volume["name"].startswith(_PREFIX)), "")
    added = name or generated_name(_PREFIX)
    mounted = [
        _mount(container, added) for kind in ("initContainers", "containers") for container in spec.get(kind) or ()
    ]
    if any(mounted) and not name:
        spec["volumes"] = [*(spec.get("volumes") or ()), _volume(added)]


def _wanted(spec: ReadOnlyObject, account: ReadOnlyObject | None) -> bool:
    choice = spec.get("automountServiceAccountToken")
    if choice is None and account is not None:
        choice = account.get("automountServiceAccountToken")
    return choice is not False


def _mount(container: Object, volume: str) -> bool:
    mounts = container.get("volumeMounts") or []
    if any(mount.get("mountPath") == MOUNT_PATH for mount in mounts):
        return False
    container["volumeMounts"] = [*mounts, {"name": volume, "readOnly": True, "mountPath": MOUNT_PATH}]
    return True


def _volume(name: str) -> Object:
    token = {"serviceAccountToken": {"expirationSeconds": _TOKEN_SECONDS, "path": "token"}}
    authority = {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    namespace = {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}}
    return {"name": name, "projected": {"sources": [token, authority, namespace], "defaultMode": 0o644}}
