"""Manifests applied: in an order in which each finds what it needs, each with a result, none stopping the others."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, TypeAlias

from roadstead.api.errors import ApiError, BadRequest, NotFound
from roadstead.api.objects import Object, key_of, metadata_of
from roadstead.api.resources import Resource
from roadstead.client.client import ApiClient
from roadstead.client.discovery import Discovery
from roadstead.client.manifests import Document

Outcome: TypeAlias = Literal["created", "configured", "unchanged", "failed"]

# Kinds that are not named come last, with the workloads: they may need anything before them.
_RANKS = {
    kind: rank
    for rank, kinds in enumerate(
        (
            ("CustomResourceDefinition",),
            ("Namespace",),
            ("GatewayClass", "IngressClass", "StorageClass", "PriorityClass"),
            (
                "ServiceAccount", "Secret", "ConfigMap", "ClusterRole", "Role", "ResourceQuota", "LimitRange",
                "ValidatingAdmissionPolicy",
            ),
            (
                "ClusterRoleBinding", "RoleBinding", "PersistentVolume", "PersistentVolumeClaim", "ReferenceGrant",
                "ValidatingAdmissionPolicyBinding",
            ),
            ("NetworkPolicy", "Service", "Gateway"),
        )
    )
    for kind in kinds
}  # fmt: skip
_LAST = len(_RANKS)
_NEW_KIND_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of one document: `object` as stored, or the `error`."""

    document: Document
    outcome: Outcome
    object: Object | None = None
    error: ApiError | None = None

    def messages(self) -> Iterator[str]:
        """Yield `file:line: object: what is wrong` for each field at fault, or for what else made it fail."""
        if self.error is None:
            return
        causes = [cause for cause in self.error.details.get("causes") or () if cause.get("field")]
        for cause in causes:
            field = cause["field"]
            yield f"{self.document.where(field)}: {self.document.title}: {field}: {cause.get('message')}"
        if not causes:
            yield f"{self.document.where()}: {self.document.title}: {self.error.message}"


def in_order(documents: Iterable[Document]) -> list[Document]:
    """Return documents so that each follows what it may need: namespaces first, workloads and routes last."""
    return sorted(documents, key=_rank)


def _rank(document: Document) -> int:
    return _RANKS.get(document.object["kind"], _LAST)


async def apply_manifests(
    client: ApiClient, documents: Sequence[Document], *, field_manager: str, namespace: str = "default"
) -> AsyncIterator[Applied]:
    """Apply documents on the server's side and yield a result for each; `namespace` is for those that name none.

    Documents of one rank are sent together. Never raises ApiError: failures are results.
    """
    applier = _Applier(client, field_manager, namespace)
    for _, group in groupby(in_order(documents), key=_rank):
        for applied in await asyncio.gather(*(applier.apply(document) for document in group)):
            yield applied


class _Applier:
    def __init__(self, client: ApiClient, field_manager: str, namespace: str) -> None:
        self._client = client
        self._discovery = Discovery(client)
        self._manager = field_manager
        self._namespace = namespace
        self._defined_kinds: set[tuple[str, str]] = set()

    async def apply(self, document: Document) -> Applied:
        try:
            resource = await self._resource(document)
            outcome, stored = await self._send(resource, self._placed(resource, document.object))
        except ApiError as error:
            return Applied(document, "failed", error=error)
        if resource.kind == "CustomResourceDefinition":
            spec = stored.get("spec") or {}
            kind = (spec.get("names") or {}).get("kind") or ""
            self._defined_kinds.add((spec.get("group") or "", kind))
        return Applied(document, outcome, stored)

    async def _resource(self, document: Document) -> Resource:
        api_version, kind = document.object["apiVersion"], document.object["kind"]
        deadline = asyncio.get_running_loop().time() + _NEW_KIND_PATIENCE
        while (found := await self._discovery.find(api_version, kind)) is None:
            expected = (api_version.rpartition("/")[0], kind) in self._defined_kinds
            if not expected or asyncio.get_running_loop().time() > deadline:
                raise BadRequest(
                    f"the server serves no kind {kind} in {api_version}; "
                    "check both, or apply the CustomResourceDefinition first"
                )
            await asyncio.sleep(0.05)  # a definition that was just applied is served a moment later
        return found

    def _placed(self, resource: Resource, obj: Object) -> Object:
        metadata = {key: value for key, value in metadata_of(obj).items() if key != "managedFields"}
        if not resource.namespaced:
            metadata.pop("namespace", None)
        elif not metadata.get("namespace"):
            metadata["namespace"] = self._namespace
        return {**obj, "metadata": metadata}

    async def _send(self, resource: Resource, obj: Object) -> tuple[Outcome, Object]:
        namespace, name = key_of(obj)
        if not name:
            return "created", await self._client.create(resource, obj, field_manager=self._manager)
        try:
            before: Object | None = await self._client.get(resource, name, namespace)
        except NotFound:
            before = None
        after = await self._client.apply(resource, obj, field_manager=self._manager, field_validation="Strict")
        if before is None:
            return "created", after
        same = metadata_of(before).get("resourceVersion") == metadata_of(after).get("resourceVersion")
        return ("unchanged" if same else "configured"), after
