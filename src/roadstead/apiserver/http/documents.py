"""What describes the server itself: health, version, discovery, OpenAPI, and who signs its tokens.

Callers are identified and authorized before they come here (`app`).
"""

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from roadstead.api.errors import ApiError, MethodNotAllowed, NotFound
from roadstead.api.objects import Object
from roadstead.api.resources import Scheme
from roadstead.apiserver import discovery, openapi
from roadstead.apiserver.access.tokens import ServiceAccountTokens
from roadstead.apiserver.openapi import v2, v2_protobuf
from roadstead.apiserver.registry import Registry

KUBERNETES_VERSION = "v1.37.1"
_OTHERS = (
    "/.well-known/openid-configuration", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/openid/v1/jwks",
    "/readyz", "/version",
)  # fmt: skip
_FOR_AN_HOUR = {"cache-control": "public, max-age=3600"}


def version_info() -> Object:
    """Return the answer of `/version`: the Kubernetes version whose API is served, built by us."""
    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"{KUBERNETES_VERSION}+roadstead",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": "python",
        "platform": "linux/amd64",
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": str(int(minor) - 1),
    }


def documents(registry: Registry, tokens: ServiceAccountTokens) -> Starlette:
    """Return the application for everything that is no resource."""
    documents = _Documents(registry, tokens)
    routes = [
        Route("/", documents.index),
        Route("/healthz", documents.alive),
        Route("/livez", documents.alive),
        Route("/readyz", documents.alive),
        Route("/version", documents.version),
        Route("/api", documents.core),
        Route("/apis", documents.groups),
        Route("/api/{version}", documents.core_resources),
        Route("/apis/{group}", documents.group),
        Route("/apis/{group}/{version}", documents.resources),
        Route("/openapi/v2", documents.openapi_v2),
        Route("/openapi/v3", documents.openapi_index),
        Route("/openapi/v3/{group_version:path}", documents.openapi_document),
        Route("/.well-known/openid-configuration", documents.openid_configuration),
        Route("/openid/v1/jwks", documents.keys),
    ]
    refusals = {ApiError: _refusal, 404: _not_found, 405: _not_allowed}
    return Starlette(routes=routes, exception_handlers=refusals)


async def _refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return JSONResponse(error.status(), status_code=error.code)


async def _not_found(request: Request, _: Exception) -> Response:
    if request.url.path.startswith("/api/"):
        return await _refusal(request, NotFound("the server could not find the requested resource"))
    return _nothing_there()


def _nothing_there() -> Response:
    """Answer as Kubernetes does where not even the beginning of the path is the API's."""
    return PlainTextResponse("404 page not found\n", status_code=404)


async def _not_allowed(request: Request, _: Exception) -> Response:
    problem = "the server does not allow this method on the requested resource"
    return await _refusal(request, MethodNotAllowed(problem))


class _Documents:
    """Answers that describe the server itself."""

    def __init__(self, registry: Registry, tokens: ServiceAccountTokens) -> None:
        self._registry = registry
        self._tokens = tokens
        self._swagger: tuple[Scheme, bytes, bytes] | None = None

    async def index(self, request: Request) -> Response:
        return JSONResponse(discovery.paths(self._registry.scheme, _OTHERS))

    async def alive(self, request: Request) -> Response:
        return PlainTextResponse("ok")

    async def version(self, request: Request) -> Response:
        return JSONResponse(version_info())

    async def core(self, request: Request) -> Response:
        return self._discovery(request, core=True)

    async def groups(self, request: Request) -> Response:
        return self._discovery(request, core=False)

    def _discovery(self, request: Request, *, core: bool) -> Response:
        scheme = self._registry.scheme
        if discovery.wants_aggregated(request.headers.get("accept", "")):
            return JSONResponse(discovery.aggregated(scheme, core=core), media_type=discovery.AGGREGATED)
        return JSONResponse(discovery.api_versions() if core else discovery.group_list(scheme))

    async def core_resources(self, request: Request) -> Response:
        return self._found(discovery.resource_list(self._registry.scheme, "", request.path_params["version"]))

    async def group(self, request: Request) -> Response:
        found = discovery.group(self._registry.scheme, request.path_params["group"])
        return _nothing_there() if found is None else JSONResponse(found)

    async def resources(self, request: Request) -> Response:
        names = request.path_params
        if discovery.group(self._registry.scheme, names["group"]) is None:
            return _nothing_there()
        return self._found(discovery.resource_list(self._registry.scheme, names["group"], names["version"]))

    def _found(self, document: Object | None) -> Response:
        if document is None:
            raise NotFound("the server could not find the requested resource")
        return JSONResponse(document)

    async def openapi_index(self, request: Request) -> Response:
        return JSONResponse(openapi.index(self._registry.scheme, ()))

    async def openapi_document(self, request: Request) -> Response:
        scheme, wanted = self._registry.scheme, request.path_params["group_version"]
        if not any(resource.root == f"/{wanted}" for resource in scheme.resources):
            raise NotFound("the server could not find the requested resource")
        document = openapi.document(scheme, wanted, ())
        # The index names each document by a hash of its content, so a client may keep what it got under that name.
        kept = {"cache-control": "public, immutable"} if "hash" in request.query_params else {}
        return JSONResponse(document, headers=kept)

    async def openapi_v2(self, request: Request) -> Response:
        as_json, as_protobuf = self._v2()
        if request.headers.get("accept", "").split(",")[0].strip() in v2_protobuf.ASKED_FOR:
            return Response(as_protobuf, media_type=v2_protobuf.MEDIA_TYPE)
        return Response(as_json, media_type="application/json")

    def _v2(self) -> tuple[bytes, bytes]:
        """Return the document in both forms. It is large and seldom asked for: kept until what is served changes."""
        scheme = self._registry.scheme
        if self._swagger is None or self._swagger[0] is not scheme:
            swagger = v2.swagger(scheme)
            self._swagger = (scheme, msgspec.json.encode(swagger), v2_protobuf.encode(swagger))
        return self._swagger[1:]

    async def openid_configuration(self, request: Request) -> Response:
        return JSONResponse(self._tokens.configuration(), headers=_FOR_AN_HOUR)

    async def keys(self, request: Request) -> Response:
        return JSONResponse(self._tokens.keys(), media_type="application/jwk-set+json", headers=_FOR_AN_HOUR)
