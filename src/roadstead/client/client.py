"""The client of the Kubernetes API that every component uses, against our server or a real one.

It sends what `requests` builds and gives back objects, or raises the `api.errors` that the server meant.
Next: `informer`, which keeps a collection in memory.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Self

from roadstead.api.errors import ServiceUnavailable
from roadstead.api.objects import Object, ReadOnlyObject
from roadstead.api.resources import Resource
from roadstead.client import requests
from roadstead.client.answers import decode, error_from, list_items, retry_after
from roadstead.client.credentials import Credentials, CredentialsError
from roadstead.client.http import Dial, HttpClient, Response
from roadstead.client.kubeconfig import Connection, read_kubeconfig
from roadstead.client.requests import Patch, PatchKind, Request

REQUEST_TIMEOUT = 30.0
_RETRIES = 3
_TOKEN_LIFE = 60.0


class ApiClient:
    """Requests to one API server; an async context manager. Every method raises `ApiError` when it is refused.

    A server that cannot be reached raises `ServerUnreachable`, which is a `ServiceUnavailable`.
    """

    def __init__(self, server: str, credentials: Credentials, *, user_agent: str, dial: Dial | None = None) -> None:
        """Prepare for a server, which `dial` connects to if it is given; nothing is sent yet.

        Raises CredentialsError for unusable certificates.
        """
        self.server = server
        self._credentials = credentials
        tls = credentials.ssl_context() if server.startswith("https:") else None
        self._http = HttpClient(server, tls, server_name=credentials.server_name, user_agent=user_agent, dial=dial)
        self._token: tuple[float, str] | None = None

    @classmethod
    def from_kubeconfig(cls, path: Path | str, context: str | None = None, *, user_agent: str) -> Self:
        """Prepare for the server of a kubeconfig's context. Raises CredentialsError."""
        return cls.from_connection(read_kubeconfig(Path(path), context), user_agent=user_agent)

    @classmethod
    def from_connection(cls, connection: Connection, *, user_agent: str) -> Self:
        """Prepare for the server of a connection, for instance `in_cluster()`."""
        return cls(connection.server, connection.credentials, user_agent=user_agent)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def get(self, resource: Resource, name: str, namespace: str = "", *, subresource: str = "") -> Object:
        """Return one object. Raises NotFound."""
        return await self.request(requests.get(resource, namespace, name, subresource))

    async def list(
        self, resource: Resource, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> list[Object]:
        """Return all objects of a resource, in one namespace or in all."""
        answer = await self.request(requests.list_all(resource, namespace, label_selector, field_selector))
        return list_items(resource, answer)

    async def create(
        self, resource: Resource, obj: ReadOnlyObject, *, field_manager: str | None = None, subresource: str = ""
    ) -> Object:
        """Create an object and return it as stored. Raises AlreadyExists, Invalid."""
        return await self.request(
            requests.create(resource, obj, field_manager=field_manager or "", subresource=subresource)
        )

    async def replace(self, resource: Resource, obj: ReadOnlyObject, *, subresource: str = "") -> Object:
        """Replace an object and return it as stored. Raises Conflict if it changed since it was read."""
        return await self.request(requests.replace(resource, obj, subresource=subresource))

    async def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str,
        patch: Patch,
        *,
        kind: PatchKind = "merge",
        subresource: str = "",
        field_manager: str = "",
    ) -> Object:
        """Change parts of an object and return it as stored. Raises NotFound, Conflict, Invalid."""
        return await self.request(
            requests.patch(resource, name, namespace, patch, kind, subresource=subresource, field_manager=field_manager)
        )

    async def apply(
        self,
        resource: Resource,
        obj: ReadOnlyObject,
        *,
        field_manager: str,
        force: bool = True,
        subresource: str = "",
        field_validation: str = "",
    ) -> Object:
        """Apply an object on the server's side and return it as stored. Raises Conflict unless `force`."""
        return await self.request(
            requests.apply(
                resource,
                obj,
                field_manager=field_manager,
                force=force,
                subresource=subresource,
                field_validation=field_validation,
            )
        )

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        propagation: str = "Background",
        grace_period_seconds: int | None = None,
        preconditions_uid: str | None = None,
    ) -> None:
        """Ask for an object's deletion; finalizers and pods' grace periods may keep it a while. Raises NotFound."""
        await self.request(
            requests.delete(
                resource,
                name,
                namespace,
                propagation=propagation,
                grace_period_seconds=grace_period_seconds,
                preconditions_uid=preconditions_uid,
            )
        )

    async def request(self, request: Request, *, timeout: float = REQUEST_TIMEOUT) -> Object:
        """Send any request and return the decoded answer. Raises the ApiError that the server meant.

        An answer of 429 or 503 that says when to try again is tried again, a few times.
        """
        for attempt in range(_RETRIES + 1):
            status, headers, body = await self._http.request(request, self._bearer(), timeout)
            if status < 400:
                return decode(request, body)
            wait = retry_after(status, headers)
            if wait is None or attempt == _RETRIES:
                break
            await asyncio.sleep(wait)
        raise error_from(request, status, body)

    async def stream(self, request: Request) -> AsyncIterator[bytes]:
        """Yield a body as it arrives: a watch, a pod's log. Raises ApiError if refused."""
        response = await self._http.stream(request, self._bearer())
        try:
            if response.status >= 400:
                raise error_from(request, response.status, await response.read())
            async for chunk in response.chunks():
                yield chunk
        finally:
            self._http.release(response)

    async def watch_lines(self, request: Request, *, idle_timeout: float) -> AsyncIterator[bytes]:
        """Yield the lines of a stream. Raises ApiError; ServerUnreachable after `idle_timeout` seconds of silence."""
        response: Response = await self._http.stream(request, self._bearer())
        try:
            if response.status >= 400:
                raise error_from(request, response.status, await response.read())
            async for line in response.lines(idle_timeout):
                yield line
        finally:
            self._http.release(response)

    def _bearer(self) -> str:
        """Return the token; a token file is read again once a minute, because the kubelet rotates it."""
        if self._credentials.token_file is None:
            return self._credentials.token
        now = asyncio.get_running_loop().time()
        if self._token is None or now - self._token[0] > _TOKEN_LIFE:
            try:
                self._token = (now, self._credentials.bearer())
            except CredentialsError as error:
                raise ServiceUnavailable(str(error)) from error
        return self._token[1]
