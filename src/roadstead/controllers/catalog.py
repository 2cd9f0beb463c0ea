"""The controllers there are: for each, which changes concern it and where its plan's input is found.

Only wiring: decisions are in the modules named after the controllers. Next: `runner`.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from roadstead.api.budgets import covers
from roadstead.api.objects import Object, ObjectKey, controller_of, key_of, labels_of, metadata_of
from roadstead.api.selectors import label_selector_of, pod_selector_of
from roadstead.controllers import (
    cronjob,
    daemonset,
    deployment,
    disruption,
    endpointslice,
    job,
    replicaset,
    serviceaccount,
    statefulset,
)
from roadstead.controllers.actions import Action, Event, creating
from roadstead.controllers.autoscaling import autoscaling_controller
from roadstead.controllers.claim_templates import has_claim
from roadstead.controllers.collecting import garbage_controller
from roadstead.controllers.controller import Controller, KeysOf, Situation, View, each, itself
from roadstead.controllers.emptying import namespace_controller
from roadstead.controllers.ephemeral import ephemeral_controller
from roadstead.controllers.scheduling import as_seen_by_scheduler, scheduling_controller
from roadstead.controllers.storage import claim_controller, volume_controller


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What controllers have to be told about the cluster: the certificate authority that pods are to trust."""

    ca_pem: str


def all_controllers(cluster: ClusterFacts) -> tuple[Controller, ...]:
    """Return every controller; those on the way from a manifest to a running pod come first."""
    return (
        _DEPLOYMENT,
        _replicas("ReplicaSet", "replicaset-controller"),
        scheduling_controller(),
        _ENDPOINTSLICE,
        _service_account(cluster),
        _STATEFULSET,
        _DAEMONSET,
        _JOB,
        _CRONJOB,
        _replicas("ReplicationController", "replication-controller"),
        autoscaling_controller(),
        claim_controller(),
        volume_controller(),
        ephemeral_controller(),
        _DISRUPTION,
        namespace_controller(),
        garbage_controller(),
    )


def _controlled_by(kind: str) -> KeysOf:
    """Return the key of the controller of an object, or of all that would adopt it if it has none."""

    def keys(view: View, obj: Object) -> Iterable[Hashable]:
        namespace = key_of(obj).namespace
        controller = controller_of(obj)
        if controller is not None:
            return [ObjectKey(namespace, controller["name"])] if controller["kind"] == kind else []
        return [
            key_of(candidate)
            for candidate in view.in_namespace(kind, namespace)
            if pod_selector_of(candidate).matches(labels_of(obj))
        ]

    return keys


# --- deployment and replicaset


def _decide_deployment(situation: Situation) -> list[Action]:
    view, key = situation.view, situation.key
    found = view.get("Deployment", key)
    if found is None:
        return []
    recreates = (found["spec"].get("strategy") or {}).get("type") == "Recreate"
    pods = view.in_namespace("Pod", key.namespace) if recreates else []
    replica_sets = view.in_namespace("ReplicaSet", key.namespace)
    return deployment.plan(deployment.Observed(found, replica_sets, pods, situation.failure), situation.now)


def _recreating_deployment(view: View, pod: Object) -> Iterable[Hashable]:
    controller = controller_of(pod)
    if controller is None or controller["kind"] != "ReplicaSet":
        return []
    namespace = key_of(pod).namespace
    owner = view.get("ReplicaSet", ObjectKey(namespace, controller["name"]))
    above = controller_of(owner) if owner is not None else None
    found = view.get("Deployment", ObjectKey(namespace, above["name"])) if above else None
    recreates = found is not None and (found["spec"].get("strategy") or {}).get("type") == "Recreate"
    return [key_of(found)] if found is not None and recreates else []


_DEPLOYMENT = Controller(
    "deployment-controller",
    {
        "Deployment": itself,
        "ReplicaSet": each(_controlled_by("Deployment")),
        "Pod": each(_recreating_deployment),
    },
    _decide_deployment,
)


def _replicas(kind: str, name: str) -> Controller:
    def decide(situation: Situation) -> list[Action]:
        found = situation.view.get(kind, situation.key)
        if found is None:
            return []
        observed = replicaset.Observed(found, _candidates(situation, found), situation.failure)
        return replicaset.plan(observed, situation.now)

    return Controller(name, {kind: itself, "Pod": each(_controlled_by(kind))}, decide)


def _candidates(situation: Situation, owner: Object) -> list[Object]:
    """Return the pods that an owner has or may adopt."""
    view = situation.view
    return [*view.owned_by("Pod", owner["metadata"]["uid"]), *view.orphans("Pod", key_of(owner).namespace)]


# --- endpointslice


def _decide_endpoints(situation: Situation) -> list[Action]:
    view, key = situation.view, situation.key
    service = view.get("Service", key)
    if service is None:
        return []
    slices = view.owned_by("EndpointSlice", service["metadata"]["uid"])
    return endpointslice.plan(endpointslice.Observed(service, view.in_namespace("Pod", key.namespace), slices))


def _services_of_pod(view: View, pod: Object) -> Iterable[Hashable]:
    labels = labels_of(pod)
    for service in view.in_namespace("Service", key_of(pod).namespace):
        selector = (service.get("spec") or {}).get("selector")
        if selector and label_selector_of(selector).matches(labels):
            yield key_of(service)


def _service_of_slice(view: View, slice_: Object) -> Iterable[Hashable]:
    name = labels_of(slice_).get(endpointslice.SERVICE_NAME)
    ours = labels_of(slice_).get(endpointslice.MANAGED_BY) == endpointslice.MANAGER
    return [ObjectKey(key_of(slice_).namespace, name)] if name and ours else []


_ENDPOINTSLICE = Controller(
    "endpoint-slice-controller",
    {"Service": itself, "Pod": each(_services_of_pod), "EndpointSlice": each(_service_of_slice)},
    _decide_endpoints,
)


# --- statefulset and daemonset


def _decide_statefulset(situation: Situation) -> list[Action]:
    view, found = situation.view, situation.view.get("StatefulSet", situation.key)
    if found is None:
        return []
    claims = view.in_namespace("PersistentVolumeClaim", situation.key.namespace)
    revisions = view.owned_by("ControllerRevision", found["metadata"]["uid"])
    observed = statefulset.Observed(found, _candidates(situation, found), claims, revisions)
    return creating(found, statefulset.plan(observed, situation.now), situation.failure)


def _statefulsets_of_claim(view: View, claim: Object) -> Iterable[Hashable]:
    key = key_of(claim)
    return [key_of(found) for found in view.in_namespace("StatefulSet", key.namespace) if has_claim(found, key.name)]


_STATEFULSET = Controller(
    "statefulset-controller",
    {
        "StatefulSet": itself,
        "Pod": each(_controlled_by("StatefulSet")),
        "ControllerRevision": each(_controlled_by("StatefulSet")),
        "PersistentVolumeClaim": each(_statefulsets_of_claim),
    },
    _decide_statefulset,
)


def _decide_daemonset(situation: Situation) -> list[Action]:
    view, found = situation.view, situation.view.get("DaemonSet", situation.key)
    if found is None:
        return []
    revisions = view.owned_by("ControllerRevision", found["metadata"]["uid"])
    observed = daemonset.Observed(found, _candidates(situation, found), view.all("Node"), revisions)
    return creating(found, daemonset.plan(observed, situation.now), situation.failure)


def _all_daemonsets(view: View, old: Object | None, new: Object | None) -> Iterable[Hashable]:
    if old is not None and new is not None and as_seen_by_scheduler(old) == as_seen_by_scheduler(new):
        return []
    return [key_of(entry) for entry in view.all("DaemonSet")]


_DAEMONSET = Controller(
    "daemonset-controller",
    {
        "DaemonSet": itself,
        "Pod": each(_controlled_by("DaemonSet")),
        "ControllerRevision": each(_controlled_by("DaemonSet")),
        "Node": _all_daemonsets,
    },
    _decide_daemonset,
)


# --- job


def _decide_job(situation: Situation) -> list[Action]:
    found = situation.view.get("Job", situation.key)
    if found is None:
        return []
    planned = job.plan(job.Observed(found, _candidates(situation, found)), situation.now)
    return creating(found, planned, situation.failure)


_JOB = Controller("job-controller", {"Job": itself, "Pod": each(_controlled_by("Job"))}, _decide_job)


# --- cronjob


def _decide_cronjob(situation: Situation) -> list[Action]:
    found = situation.view.get("CronJob", situation.key)
    if found is None:
        return []
    jobs = situation.view.in_namespace("Job", situation.key.namespace)
    planned = cronjob.plan(cronjob.Observed(found, jobs), situation.now)
    if situation.failure:
        planned.insert(0, Event(found, "Warning", "FailedCreate", f"Error creating job: {situation.failure}"))
    return planned


def _cronjob_of(view: View, job: Object) -> Iterable[Hashable]:
    controller = controller_of(job) or {}
    is_ours = controller.get("kind") == "CronJob"
    return [ObjectKey(key_of(job).namespace, str(controller["name"]))] if is_ours else []


_CRONJOB = Controller("cronjob-controller", {"CronJob": itself, "Job": each(_cronjob_of)}, _decide_cronjob)


# --- disruption budgets

_COUNTED = ("ReplicaSet", "StatefulSet", "ReplicationController")


def _decide_disruptions(situation: Situation) -> list[Action]:
    view, key = situation.view, situation.key
    found = view.get("PodDisruptionBudget", key)
    if found is None:
        return []

    def replicas_of(owner: Mapping[str, Any]) -> int | None:
        controller = (
            view.get(owner["kind"], ObjectKey(key.namespace, owner["name"])) if owner["kind"] in _COUNTED else None
        )
        return (controller.get("spec") or {}).get("replicas") if controller is not None else None

    pods = view.in_namespace("Pod", key.namespace)
    return disruption.plan(disruption.Observed(found, pods, replicas_of), situation.now)


def _budgets_of_pod(view: View, pod: Object) -> Iterable[Hashable]:
    return [
        key_of(each) for each in view.in_namespace("PodDisruptionBudget", key_of(pod).namespace) if covers(each, pod)
    ]


def _budgets_of_owner(view: View, owner: Object) -> Iterable[Hashable]:
    return [key for pod in view.owned_by("Pod", owner["metadata"]["uid"]) for key in _budgets_of_pod(view, pod)]


_DISRUPTION = Controller(
    "disruption-controller",
    {
        "PodDisruptionBudget": itself,
        "Pod": each(_budgets_of_pod),
        **dict.fromkeys(_COUNTED, each(_budgets_of_owner)),
    },
    _decide_disruptions,
    unhurried=True,
)


# --- serviceaccount


def _service_account(cluster: ClusterFacts) -> Controller:
    def decide(situation: Situation) -> list[Action]:
        view, name = situation.view, situation.key.name
        namespace = view.get("Namespace", situation.key)
        if namespace is None:
            return []
        account = view.get("ServiceAccount", ObjectKey(name, serviceaccount.ACCOUNT))
        root_ca = view.get("ConfigMap", ObjectKey(name, serviceaccount.ROOT_CA))
        return serviceaccount.plan(serviceaccount.Observed(namespace, account, root_ca, cluster.ca_pem))

    def namespace_of(view: View, obj: Object) -> Iterable[Hashable]:
        expected = {"ServiceAccount": serviceaccount.ACCOUNT, "ConfigMap": serviceaccount.ROOT_CA}
        ours = metadata_of(obj).get("name") == expected.get(obj.get("kind") or "")
        return [ObjectKey("", key_of(obj).namespace)] if ours else []

    triggers = {"Namespace": itself, "ServiceAccount": each(namespace_of), "ConfigMap": each(namespace_of)}
    return Controller("serviceaccount-controller", triggers, decide)
