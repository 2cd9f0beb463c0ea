"""URLs become resources, namespaces, names and subresources."""

import pytest

from roadstead.api.resources import BUILT_IN, Resource
from roadstead.apiserver.http.paths import ResourcePath, parse


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/v1/pods", ("", "v1", "", "pods", "", "")),
        ("/api/v1/pods/", ("", "v1", "", "pods", "", "")),
        ("/api/v1/namespaces/a/pods", ("", "v1", "a", "pods", "", "")),
        ("/api/v1/namespaces/a/pods/b/log", ("", "v1", "a", "pods", "b", "log")),
        ("/api/v1/namespaces", ("", "v1", "", "namespaces", "", "")),
        ("/api/v1/namespaces/a", ("", "v1", "", "namespaces", "a", "")),
        ("/api/v1/namespaces/a/status", ("", "v1", "", "namespaces", "a", "status")),
        ("/api/v1/namespaces/a/finalize", ("", "v1", "", "namespaces", "a", "finalize")),
        ("/apis/apps/v1/namespaces/a/deployments/b/scale", ("apps", "v1", "a", "deployments", "b", "scale")),
        ("/apis/example.com/v1/namespaces/a/status", ("example.com", "v1", "a", "status", "", "")),
    ],
)
def test_a_path_names_its_parts(path: str, expected: tuple[str, ...]) -> None:
    assert parse(path) == ResourcePath(*expected)


@pytest.mark.parametrize("path", ["/", "/api", "/api/v1", "/apis/apps/v1", "/version", "/api/v1/namespaces/a/b/c/d/e"])
def test_what_is_no_resource_is_not_taken_for_one(path: str) -> None:
    assert parse(path) is None


@pytest.mark.parametrize("resource", BUILT_IN, ids=lambda resource: f"{resource.group}/{resource.plural}")
def test_every_path_that_clients_build_is_understood(resource: Resource) -> None:
    namespace = "ns" if resource.namespaced else ""
    found = parse(resource.path(namespace, "name", "status"))
    assert found == ResourcePath(resource.group, resource.version, namespace, resource.plural, "name", "status")
