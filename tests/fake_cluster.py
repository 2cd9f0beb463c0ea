"""A cluster in a dictionary: a `View` for controllers that takes their actions, with time that stands still.

It answers writes as an API server does as far as plans can tell: uids, versions, generations, conflicts, finalizers
and grace periods. `settle` runs controllers until none has anything to do; `pods_start` plays the node.
"""

import asyncio
import copy
import itertools
from datetime import UTC, datetime, timedelta

from roadstead.api.errors import AlreadyExists, Conflict, NotFound
from roadstead.api.objects import ObjectKey, controller_of, key_of
from roadstead.api.resources import resource
from roadstead.controllers.actions import Bind, Create, Delete, Event, Patch, Replace, Requeue
from roadstead.controllers.controller import Situation
from roadstead.lib.clock import rfc3339

_SPECLESS = {"metadata", "status", "apiVersion", "kind"}
_PROPAGATION = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}


class FakeCluster:
    def __init__(self, *controllers):
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.controllers = controllers
        self.kinds: dict[str, dict[ObjectKey, dict]] = {}
        self.events: list[tuple[str, str, str]] = []
        self.timers: list[tuple[datetime, int, object]] = []
        self.refuse_creation: dict[str, str] = {}
        self._versions = itertools.count(1)
        self._names = itertools.count(1)
        self._queue: dict[tuple[int, object], None] = {}
        self._failures: dict[tuple[int, object], str] = {}

    # --- the View

    def get(self, kind, key):
        return self.kinds.get(kind, {}).get(key)

    def all(self, kind):
        return list(self.kinds.get(kind, {}).values())

    def in_namespace(self, kind, namespace):
        return [obj for key, obj in self.kinds.get(kind, {}).items() if key.namespace == namespace]

    def owned_by(self, kind, uid):
        return [obj for obj in self.all(kind) if uid in [ref["uid"] for ref in _references(obj)]]

    def orphans(self, kind, namespace):
        return [obj for obj in self.in_namespace(kind, namespace) if controller_of(obj) is None]

    # --- writes

    def create(self, obj):
        obj = copy.deepcopy(obj)
        metadata = obj["metadata"]
        if not metadata.get("name"):
            metadata["name"] = f"{metadata['generateName']}{next(self._names):05d}"
        if self.get(obj["kind"], key_of(obj)):
            raise AlreadyExists(f"{obj['kind']} {metadata['name']} exists")
        metadata["uid"] = f"uid-{next(self._names)}"
        metadata["creationTimestamp"] = rfc3339(self.now)
        metadata["generation"] = 1
        return self._store(None, obj)

    def patch(self, kind, key, patch, subresource=""):
        old = self.get(kind, key)
        if old is None:
            raise NotFound(f"{kind} {key}")
        for name in ("uid", "resourceVersion"):
            wanted = patch.get("metadata", {}).get(name)
            if wanted and wanted != old["metadata"][name]:
                raise Conflict(f"{kind} {key}: {name} is {old['metadata'][name]}, not {wanted}")
        new = merge(old, patch)
        if subresource == "status":
            new = {**old, "status": new.get("status")}
        elif "status" in old:
            new["status"] = old["status"]
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        if {k: v for k, v in new.items() if k not in _SPECLESS} != {k: v for k, v in old.items() if k not in _SPECLESS}:
            new["metadata"]["generation"] = old["metadata"]["generation"] + 1
        return old if new == old else self._store(old, new)

    def delete(self, kind, name, namespace="", *, uid=None, propagation="Background", grace=None):
        old = self.get(kind, ObjectKey(namespace, name))
        if old is None or (uid and old["metadata"]["uid"] != uid):
            raise NotFound(f"{kind} {namespace}/{name}")
        new = copy.deepcopy(old)
        finalizers = new["metadata"].setdefault("finalizers", [])
        if propagation in _PROPAGATION and _PROPAGATION[propagation] not in finalizers:
            finalizers.append(_PROPAGATION[propagation])
        new["metadata"].setdefault("deletionTimestamp", rfc3339(self.now))
        waits = kind == "Pod" and grace != 0 and new["spec"].get("nodeName")
        new["metadata"]["deletionGracePeriodSeconds"] = 30 if waits else 0
        self._store(old, new)

    def _store(self, old, new):
        new["metadata"]["resourceVersion"] = str(next(self._versions))
        metadata = new["metadata"]
        held = metadata.get("finalizers") or (new["kind"] == "Namespace" and new["spec"].get("finalizers"))
        gone = metadata.get("deletionTimestamp") and not held and not metadata.get("deletionGracePeriodSeconds")
        place = self.kinds.setdefault(new["kind"], {})
        if gone:
            del place[key_of(new)]
        else:
            place[key_of(new)] = new
        self._tell(new["kind"], old, None if gone else new)
        return new

    def _tell(self, kind, old, new):
        for number, controller in enumerate(self.controllers):
            if kind in controller.triggers:
                for key in controller.triggers[kind](self, old, new):
                    self._queue[number, key] = None

    # --- running

    def settle(self, rounds=2000):
        """Run controllers until none has anything to do, and return how many plans that took."""
        for count in range(rounds):
            if not self._queue:
                return count
            self.step()
        raise AssertionError(f"no end in sight: {list(self._queue)}")

    def step(self):
        number, key = next(iter(self._queue))
        del self._queue[number, key]
        controller = self.controllers[number]
        live = asyncio.run(controller.look(ServerOf(self), self, key)) if controller.look else None
        failure = self._failures.pop((number, key), "")
        for action in controller.decide(Situation(self, key, self.now, failure, live)):
            try:
                self.carry_out(action, number, key)
            except (Conflict, NotFound) as error:
                raise AssertionError(f"a plan rests on what is not so: {error}") from error

    def carry_out(self, action, number=0, key=None):
        match action:
            case Create():
                refusal = self.refuse_creation.get(action.object["kind"])
                if refusal:
                    if self._failures.get((number, key)) != refusal:
                        self._failures[number, key] = refusal
                    return
                self._announce(action.announce, self.create(action.object))
            case Delete():
                namespace, name = key_of(action.object)
                uid = action.object["metadata"]["uid"]
                self.delete(action.object["kind"], name, namespace, uid=uid, propagation=action.propagation)
                self._announce(action.announce, action.object)
            case Patch():
                where = key_of(action.object)
                stored = self.patch(action.object["kind"], where, action.patch, action.subresource)
                self._announce(action.announce, stored)
            case Bind():
                self.patch("Pod", key_of(action.pod), {"spec": {"nodeName": action.node}})
                self._announce(action.announce, action.pod)
            case Replace():
                where = key_of(action.object)
                self._store(self.get(action.object["kind"], where), copy.deepcopy(action.object))
            case _:
                self._note(action, number, key)

    def _note(self, action, number, key):
        if isinstance(action, Event):
            self._announce(action, {"metadata": {}})
        elif isinstance(action, Requeue) and action.seconds <= 0:
            self._queue[number, key] = None
        else:
            self.timers.append((self.now + timedelta(seconds=action.seconds), number, key))

    def retry(self):
        """Plan again what failed."""
        for place in list(self._failures):
            self._queue[place] = None
        self.settle()

    def pass_time(self, seconds):
        """Let time pass, and plan what was put off until then."""
        self.now += timedelta(seconds=seconds)
        due = [timer for timer in self.timers if timer[0] <= self.now]
        self.timers = [timer for timer in self.timers if timer[0] > self.now]
        for _, number, key in due:
            self._queue[number, key] = None
        self.settle()

    def _announce(self, event, about):
        if event is not None:
            message = event.message.replace("{name}", about["metadata"].get("name", ""))
            self.events.append((event.regarding["kind"], event.reason, message))

    # --- the node

    def set_ready(self, name, ready=True, namespace="default"):
        pod = self.get("Pod", ObjectKey(namespace, name))
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": rfc3339(self.now)}
        status = {"phase": "Running", "podIP": f"10.244.0.{int(name[-5:]) % 250}", "conditions": [condition]}
        self.patch("Pod", key_of(pod), {"status": status}, "status")

    def end(self, name, namespace="default"):
        """The node has stopped a pod that was being deleted."""
        pod = self.get("Pod", ObjectKey(namespace, name))
        self._store(pod, merge(pod, {"metadata": {"deletionGracePeriodSeconds": 0, "finalizers": None}}))

    def pods_start(self, ready=True):
        """Start all pods and stop those that are being deleted, until the controllers are content."""
        for _ in range(100):
            self.settle()
            before = next(self._versions)
            for pod in self.all("Pod"):
                namespace, name = key_of(pod)
                if pod["metadata"].get("deletionTimestamp"):
                    self.end(name, namespace)
                elif not pod.get("status"):
                    self.set_ready(name, ready, namespace)
            if next(self._versions) == before + 1:
                return
        raise AssertionError("the cluster does not come to rest")


class ServerOf:
    """What `look` asks of a server."""

    def __init__(self, cluster):
        self._cluster = cluster

    async def list(self, what, namespace=""):
        found = self._cluster.in_namespace(what.kind, namespace)
        return [obj for obj in found if obj["apiVersion"] == what.api_version]

    async def get(self, what, name, namespace=""):
        found = self._cluster.get(what.kind, ObjectKey(namespace, name))
        if found is None:
            raise NotFound(name)
        return found


def merge(target, patch):
    """Apply a merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = copy.deepcopy(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def _references(obj):
    return obj["metadata"].get("ownerReferences") or []


def named(kind, name, namespace="default", **fields):
    """Return an object with its kind's apiVersion."""
    metadata = {"name": name, **({"namespace": namespace} if resource(kind).namespaced else {})}
    metadata.update(fields.pop("metadata", {}))
    return {"apiVersion": resource(kind).api_version, "kind": kind, "metadata": metadata, **fields}
