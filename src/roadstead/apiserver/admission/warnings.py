"""What clients are told of objects that are stored all the same: deprecated parts, values that have no effect.

Pure: an object, and the stored one of an update, to texts. The counterpart of the kinds' `WarningsOnCreate` and
`WarningsOnUpdate` (kubernetes pkg/registry) and of apimachinery's GetWarningsForIP.
"""

from collections.abc import Callable, Iterator
from typing import Any

from roadstead.api.objects import ReadOnlyObject, annotations_of, metadata_of
from roadstead.api.quantities import parse_quantity
from roadstead.api.resources import Resource
from roadstead.apiserver.admission.address_warnings import address_warnings, network_warnings
from roadstead.apiserver.admission.key_pairs import key_pair_problem
from roadstead.apiserver.admission.pod_warnings import (
    OLD_VOLUMES,
    SHOWN_VOLUMES,
    claim_warnings,
    node_term_warnings,
    old_label,
    pod_warnings,
)
from roadstead.apiserver.validation import names

_Warner = Callable[[ReadOnlyObject, ReadOnlyObject | None], Iterator[str]]
_ENDPOINTS = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
_JOB_DELETION = (
    "child pods are preserved by default when jobs are deleted; "
    "set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning"
)
_MANY_COMPLETIONS, _MANY_PODS = 100_000, 10_000


def object_warnings(resource: Resource, new: ReadOnlyObject, old: ReadOnlyObject | None) -> tuple[str, ...]:
    """Return what to tell of an object that is created, or that takes the place of a stored one."""
    warner = _WARNERS.get((resource.group, resource.kind))
    return tuple(warner(new, old)) if warner is not None else ()


def kind_warnings(resource: Resource) -> tuple[str, ...]:
    """Return what to tell of every request for a kind."""
    return (_ENDPOINTS,) if (resource.group, resource.kind) == ("", "Endpoints") else ()


def deletion_warnings(resource: Resource, propagation: str) -> tuple[str, ...]:
    """Return what to tell of a deletion; `propagation` is what the client said of dependents, empty if nothing."""
    is_job = (resource.group, resource.kind) == ("batch", "Job")
    return (_JOB_DELETION,) if is_job and not propagation else ()


def _label_name(obj: ReadOnlyObject, use: str) -> Iterator[str]:
    complaints = names.label_complaints(metadata_of(obj).get("name", ""))
    if complaints:
        text = f"this is used in {use}, which can result in surprising behavior; a DNS label is recommended"
        yield f"metadata.name: {text}: [{' '.join(complaints)}]"


def _pod(new: ReadOnlyObject, old: ReadOnlyObject | None) -> Iterator[str]:
    if old is None:
        yield from _label_name(new, "the Pod's hostname")
        yield from pod_warnings(new)


def _spec(obj: ReadOnlyObject | None) -> ReadOnlyObject:
    return (obj or {}).get("spec") or {}


def _workload(new: ReadOnlyObject, old: ReadOnlyObject | None) -> Iterator[str]:
    if old is None:
        yield from _label_name(new, "Pod names and hostnames")
    yield from _controller(new, old)


def _controller(new: ReadOnlyObject, old: ReadOnlyObject | None) -> Iterator[str]:
    """What is odd about the template is told whenever the specification changes."""
    if old is None or _spec(new) != _spec(old):
        yield from pod_warnings(_spec(new).get("template") or {}, "spec.template")


def _daemon_set(new: ReadOnlyObject, old: ReadOnlyObject | None) -> Iterator[str]:
    template = _spec(new).get("template") or {}
    if old is None or template != _spec(old).get("template"):
        yield from pod_warnings(template, "spec.template")


def _stateful_set(new: ReadOnlyObject, old: ReadOnlyObject | None) -> Iterator[str]:
    yield from _controller(new, old)
    for at, claim in enumerate(_spec(new).get("volumeClaimTemplates") or ()):
        path = f"spec.volumeClaimTemplates[{at}]" + ("" if old is None else ".Spec")
        yield from claim_warnings(claim.get("spec") or {}, path)
    if (_spec(new).get("revisionHistoryLimit") or 0) < 0:
        yield (
            "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
        )


def _job_spec(spec: ReadOnlyObject, path: str) -> Iterator[str]:
    many = (spec.get("completions") or 0) > _MANY_COMPLETIONS and (spec.get("parallelism") or 0) > _MANY_PODS
    if spec.get("completionMode") == "Indexed" and many:
        yield (
            f"{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4,"
            " Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        )
    yield from pod_warnings(spec.get("template") or {}, f"{path}.template")


def _job(new: ReadOnlyObject, old: ReadOnlyObject | None) -> Iterator[str]:
    if old is None:
        yield from _label_name(new, "Pod names and hostnames")
    if old is None or _spec(new) != _spec(old):
        yield from _job_spec(_spec(new), "spec")


def _cron_job(new: ReadOnlyObject, old: ReadOnlyObject | None) -> Iterator[str]:
    spec = _spec(new)
    if old is None:
        yield from _label_name(new, "Pod names and hostnames")
    if old is None or spec != _spec(old):
        yield from _job_spec(_spec(spec.get("jobTemplate")), "spec.jobTemplate.spec")
    if old is not None and "TZ" in spec.get("schedule", ""):
        yield (
            "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, "
            "see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
        )


def _pod_template(new: ReadOnlyObject, old: ReadOnlyObject | None) -> Iterator[str]:
    if old is None:
        yield from pod_warnings(new.get("template") or {}, "template")


_HINTS, _MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"


def _service(new: ReadOnlyObject, old: ReadOnlyObject | None) -> Iterator[str]:
    spec = _spec(new)
    if _HINTS in annotations_of(new):
        yield f"annotation {_HINTS} is deprecated, please use {_MODE} instead"
    for at, value in enumerate(spec.get("clusterIPs") or ()):
        yield from address_warnings(value, f"spec.clusterIPs[{at}]")
    external, headless = spec.get("externalIPs") or (), spec.get("clusterIP") == "None"
    if headless and spec.get("type") == "ClusterIP":
        yield from _ignored_when_headless(spec)
    for at, value in enumerate(external):
        yield from address_warnings(value, f"spec.externalIPs[{at}]")
    elsewhere = spec.get("type") == "ExternalName"
    if external and not headless and not elsewhere:
        yield "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
    yield from address_warnings(spec.get("loadBalancerIP"), "spec.loadBalancerIP")
    for at, value in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        yield from network_warnings(value, f"spec.loadBalancerSourceRanges[{at}]")
    if elsewhere and external:
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    if not elsewhere and spec.get("externalName"):
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'
    if spec.get("trafficDistribution") == "PreferClose":
        yield 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'


def _ignored_when_headless(spec: ReadOnlyObject) -> Iterator[str]:
    given = {
        "loadBalancerIP": spec.get("loadBalancerIP"),
        "externalIPs": spec.get("externalIPs"),
        "SessionAffinity": spec.get("sessionAffinity") != "None",
    }
    yield from (f"spec.{field} is ignored for headless services" for field, value in given.items() if value)


def _network_policy(new: ReadOnlyObject, old: ReadOnlyObject | None) -> Iterator[str]:
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for at, rule in enumerate(_spec(new).get(direction) or ()):
            for index, peer in enumerate(rule.get(peers) or ()):
                block, path = peer.get("ipBlock") or {}, f"spec.{direction}[{at}].{peers}[{index}].ipBlock"
                yield from network_warnings(block.get("cidr"), f"{path}.cidr")
                for number, value in enumerate(block.get("except") or ()):
                    yield from network_warnings(value, f"{path}.except[{number}]")


_CLASS = "kubernetes.io/ingress.class"


def _ingress(new: ReadOnlyObject, old: ReadOnlyObject | None) -> Iterator[str]:
    if old is None and _CLASS in annotations_of(new) and _spec(new).get("ingressClassName") is None:
        yield f"annotation \"{_CLASS}\" is deprecated, please use 'spec.ingressClassName' instead"


_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_MANAGERS = ("endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io")


def _endpoint_slice(new: ReadOnlyObject, old: ReadOnlyObject | None) -> Iterator[str]:
    if old is None and new.get("addressType") == "FQDN":
        yield "spec.addressType: FQDN endpoints are deprecated"
    if (metadata_of(new).get("labels") or {}).get(_MANAGED_BY) in _MANAGERS:
        return
    for at, endpoint in enumerate(new.get("endpoints") or ()):
        for index, value in enumerate(endpoint.get("addresses") or ()):
            yield from address_warnings(value, f"endpoints[{at}].addresses[{index}]")


def _endpoints(new: ReadOnlyObject, old: ReadOnlyObject | None) -> Iterator[str]:
    for at, subset in enumerate(new.get("subsets") or ()):
        for field in ("addresses", "notReadyAddresses"):
            for index, entry in enumerate(subset.get(field) or ()):
                yield from address_warnings(entry.get("ip"), f"subsets[{at}].{field}[{index}].ip")


def _secret(new: ReadOnlyObject, old: ReadOnlyObject | None) -> Iterator[str]:
    if new.get("type") == "kubernetes.io/tls":
        data = new.get("data") or {}
        if problem := key_pair_problem(data.get("tls.crt", ""), data.get("tls.key", "")):
            yield problem


def _quota(new: ReadOnlyObject, old: ReadOnlyObject | None) -> Iterator[str]:
    hard = (_spec(new).get("hard") or {}) if old is None else {}
    for name in ("cpu", "memory", "storage", "ephemeral-storage"):
        request, limit = f"requests.{name}", f"limits.{name}"
        if request not in hard and name in ("cpu", "memory"):
            request = name
        if request in hard and limit in hard and _size(hard[request]) > _size(hard[limit]):
            yield f"ResourceQuota {request} ({hard[request]}) should be less than {limit} ({hard[limit]})"


def _size(amount: Any) -> Any:
    return parse_quantity(str(amount))


_STORAGE_CLASS = "volume.beta.kubernetes.io/storage-class"
_OLD_OF_VOLUMES = {
    _STORAGE_CLASS: 'deprecated since v1.8; use "storageClassName" attribute instead',
    "volume.beta.kubernetes.io/mount-options": 'deprecated since v1.31; use "mountOptions" attribute instead',
}


def _claim(new: ReadOnlyObject, old: ReadOnlyObject | None) -> Iterator[str]:
    if _STORAGE_CLASS in annotations_of(new):
        yield f"metadata.annotations[{_STORAGE_CLASS}]: {_OLD_OF_VOLUMES[_STORAGE_CLASS]}"
    yield from claim_warnings(_spec(new), "spec")


def _volume(new: ReadOnlyObject, old: ReadOnlyObject | None) -> Iterator[str]:
    spec, notes = _spec(new), annotations_of(new)
    yield from (f"metadata.annotations[{key}]: {text}" for key, text in _OLD_OF_VOLUMES.items() if key in notes)
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        yield (
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. "
            "Instead, the recommended approach is to use dynamic provisioning."
        )
    required = (spec.get("nodeAffinity") or {}).get("required") or {}
    for at, term in enumerate(required.get("nodeSelectorTerms") or ()):
        yield from node_term_warnings(term, f"spec.nodeAffinity.required.nodeSelectorTerms[{at}]")
    for kind in ("cephfs", "photonPersistentDisk", "scaleIO", "storageos", "glusterfs", "rbd"):
        if spec.get(kind) is not None:
            yield f"spec.{SHOWN_VOLUMES.get(kind, kind)}: {OLD_VOLUMES[kind]}"


def _storage_class(new: ReadOnlyObject, old: ReadOnlyObject | None) -> Iterator[str]:
    for at, topology in enumerate(new.get("allowedTopologies") or ()):
        for index, term in enumerate(topology.get("matchLabelExpressions") or ()):
            if text := old_label(term.get("key", "")):
                yield f"allowedTopologies[{at}].matchLabelExpressions[{index}].key: {text}"


def _runtime_class(new: ReadOnlyObject, old: ReadOnlyObject | None) -> Iterator[str]:
    for key in (new.get("scheduling") or {}).get("nodeSelector") or {}:
        if text := old_label(key):
            yield f"scheduling.nodeSelector: {text}"


_ENFORCED = "kubernetes.io/enforce-mountable-secrets"


def _service_account(new: ReadOnlyObject, old: ReadOnlyObject | None) -> Iterator[str]:
    if _ENFORCED in annotations_of(new) and not (old is not None and _ENFORCED in annotations_of(old)):
        text = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
        yield f"metadata.annotations[{_ENFORCED}]: {text}"


def _node(new: ReadOnlyObject, old: ReadOnlyObject | None) -> Iterator[str]:
    if _spec(new).get("configSource") is not None:
        yield "spec.configSource: the feature is removed"
    if _spec(new).get("externalID"):
        yield "spec.externalID: this field is deprecated, and is unused by Kubernetes"
    for at, value in enumerate(_spec(new).get("podCIDRs") or ()):
        yield from network_warnings(value, f"spec.podCIDRs[{at}]")


_WARNERS: dict[tuple[str, str], _Warner] = {
    ("", "Endpoints"): _endpoints,
    ("", "Node"): _node,
    ("", "PersistentVolume"): _volume,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Pod"): _pod,
    ("", "PodTemplate"): _pod_template,
    ("", "ReplicationController"): _workload,
    ("", "ResourceQuota"): _quota,
    ("", "Secret"): _secret,
    ("", "Service"): _service,
    ("", "ServiceAccount"): _service_account,
    ("apps", "DaemonSet"): _daemon_set,
    ("apps", "Deployment"): _workload,
    ("apps", "ReplicaSet"): _workload,
    ("apps", "StatefulSet"): _stateful_set,
    ("batch", "CronJob"): _cron_job,
    ("batch", "Job"): _job,
    ("discovery.k8s.io", "EndpointSlice"): _endpoint_slice,
    ("networking.k8s.io", "Ingress"): _ingress,
    ("networking.k8s.io", "NetworkPolicy"): _network_policy,
    ("node.k8s.io", "RuntimeClass"): _runtime_class,
    ("storage.k8s.io", "StorageClass"): _storage_class,
}
