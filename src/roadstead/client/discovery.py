"""Which resource a kind is: built in, or asked of the server for kinds that a CustomResourceDefinition added."""

from collections.abc import Mapping
from typing import Any

from roadstead.api.errors import NotFound
from roadstead.api.resources import Resource, Scheme
from roadstead.client.client import ApiClient
from roadstead.client.requests import Request, target


class Discovery:
    """Find resources by kind; what the server said is remembered, what it did not know is asked again."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._scheme = Scheme()

    async def find(self, api_version: str, kind: str) -> Resource | None:
        """Return the resource of a kind, or None if the server does not serve it. Raises ApiError."""
        known = self._scheme.by_kind(api_version, kind)
        if known is not None:
            return known
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        try:
            answer = await self._client.request(Request("GET", target(root)))
        except NotFound:
            return None
        self._scheme = self._scheme.with_resources(resources_from(api_version, answer))
        return self._scheme.by_kind(api_version, kind)


def resources_from(api_version: str, answer: Mapping[str, Any]) -> list[Resource]:
    """Return the resources of an `APIResourceList`."""
    group, _, version = api_version.rpartition("/")
    entries = answer.get("resources") or ()
    return [
        Resource(
            group,
            version,
            entry["name"],
            entry["kind"],
            bool(entry.get("namespaced")),
            tuple(entry.get("shortNames") or ()),
            tuple(entry.get("categories") or ()),
            tuple(other["name"].split("/")[1] for other in entries if other["name"].startswith(entry["name"] + "/")),
            tuple(entry.get("verbs") or ()),
        )
        for entry in entries
        if "/" not in entry["name"]
    ]
