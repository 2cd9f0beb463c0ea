"""The node agent: a worker for every pod that is bound to this node, and what the workers share.

It is a client of the API server like a kubelet: pods come from an informer, statuses go back by patch. Next: `kubelet`,
which answers for logs and commands, and `node`, which starts it all.
"""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping

import structlog

from roadstead.api.errors import ApiError
from roadstead.api.objects import Object, ObjectKey, ReadOnlyObject, annotations_of, key_of, metadata_of
from roadstead.api.resources import resource
from roadstead.client import ApiClient, Informer
from roadstead.lib.tasks import cancel_all, spawn
from roadstead.node.netd_client import NetdError
from roadstead.node.pod_spec import MIRROR_ANNOTATION, referenced_objects
from roadstead.node.pod_worker import PodWorker, Surroundings
from roadstead.node.records import PodRecord
from roadstead.node.volumes import TokenRequest

_log = structlog.get_logger(__name__)
_REFRESH_SECONDS = 60.0
_REFERENCED = ("ConfigMap", "Secret")


class Agent:
    """Runs the pods of a node. `informers` are by kind; `node` is the node's name."""

    def __init__(self, node: str, informers: Mapping[str, Informer], surroundings: Surroundings) -> None:
        self._node, self._informers, self._with = node, informers, surroundings
        self.workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = False

    def start(self) -> None:
        """Take on the node's pods, those there are and those to come."""
        self._informers["Pod"].on_change(self._pod_changed)
        for kind in _REFERENCED:
            self._informers[kind].on_change(self._object_changed)

    def worker_of(self, namespace: str, name: str) -> PodWorker | None:
        """Return the worker of a pod, the newest if one of the same name is still ending."""
        found = [one for one in self.workers.values() if one.key == ObjectKey(namespace, name)]
        return found[-1] if found else None

    def running(self) -> Iterator[tuple[ReadOnlyObject, PodRecord]]:
        """Yield every pod that the API server knows, with what this node knows of it."""
        for worker in self.workers.values():
            if worker.pod is not None:
                yield worker.pod, worker.record

    def _pod_changed(self, key: ObjectKey, old: Object | None, new: Object | None) -> None:
        gone = old if old is not None and (new is None or _uid(new) != _uid(old)) else None
        if gone is not None and (worker := self.workers.get(_uid(gone))) is not None:
            worker.update(None)
        if new is None or not self._is_ours(new):
            return
        worker = self.workers.get(_uid(new))
        if worker is not None:
            worker.update(new)
        elif not self._stopping and not _is_finished(new):
            self._take_on(new)

    def _is_ours(self, pod: ReadOnlyObject) -> bool:
        assigned = (pod.get("spec") or {}).get("nodeName") == self._node
        return assigned and MIRROR_ANNOTATION not in annotations_of(pod)

    def _take_on(self, pod: Object) -> None:
        worker = PodWorker(pod, self._with)
        self.workers[_uid(pod)] = worker
        self._tasks[_uid(pod)] = spawn(self._run(_uid(pod), worker), name=f"pod {key_of(pod)}")

    async def _run(self, uid: str, worker: PodWorker) -> None:
        try:
            await worker.run()
        finally:
            self.workers.pop(uid, None)
            self._tasks.pop(uid, None)

    def _object_changed(self, key: ObjectKey, old: Object | None, new: Object | None) -> None:
        changed = new or old
        kind = (changed or {}).get("kind") or ""
        for worker in self.workers.values():
            pod = worker.pod
            if (
                pod is not None
                and worker.key.namespace == key.namespace
                and (kind, key.name) in referenced_objects(pod)
            ):
                spawn(worker.refresh_volumes(), name=f"volumes of {worker.key}")

    def retry_images(self) -> None:
        """Try again at once what waits for an image."""
        for worker in self.workers.values():
            for container in worker.record.containers.values():
                if container.reason in ("ErrImagePull", "ImagePullBackOff"):
                    container.retry_at = 0.0
            worker.wake()

    async def refresh(self) -> None:
        """Renew tokens and downward API files once a minute, until cancelled."""
        while True:
            await asyncio.sleep(_REFRESH_SECONDS)
            for worker in list(self.workers.values()):
                await worker.refresh_volumes()

    async def stop(self, patience: float) -> None:
        """End all containers gracefully, within `patience` seconds; pods stay in the API and start again next time."""
        self._stopping = True
        await cancel_all(list(self._tasks.values()))
        running = [one for worker in self.workers.values() for one in worker.running.values() if not one.ended.done()]
        for container in running:
            with contextlib.suppress(NetdError):
                await self._with.runtime.signal(container, signal.SIGTERM)
        if running:
            await asyncio.wait([asyncio.shield(one.ended) for one in running], timeout=patience)


def _uid(pod: ReadOnlyObject) -> str:
    return str(metadata_of(pod).get("uid") or "")


def _is_finished(pod: ReadOnlyObject) -> bool:
    """Say whether a pod ended in an earlier life of this node and is not being deleted: there is nothing to do."""
    ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return ended and not metadata_of(pod).get("deletionTimestamp")


def token_requester(client: ApiClient) -> Callable[[ReadOnlyObject, TokenRequest], Awaitable[bytes]]:
    """Return what gets service account tokens from the API server (TokenRequest API), bound to the pod."""

    async def request_token(pod: ReadOnlyObject, wanted: TokenRequest) -> bytes:
        account = (pod.get("spec") or {}).get("serviceAccountName") or "default"
        where = key_of(pod)
        bound = {"apiVersion": "v1", "kind": "Pod", "name": where.name, "uid": _uid(pod)}
        spec: Object = {"expirationSeconds": wanted.seconds, "boundObjectRef": bound}
        if wanted.audience:
            spec["audiences"] = [wanted.audience]
        made = await client.create(
            resource("ServiceAccount"),
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "metadata": {"name": account, "namespace": where.namespace},
                "spec": spec,
            },
            subresource="token",
        )
        token = (made.get("status") or {}).get("token")
        if not token:
            raise ApiError(f"the API server gave no token for service account {where.namespace}/{account}")
        return str(token).encode()

    return request_token
