"""Does what faces customers tell everybody which methods there are? Reflection is for everything but production.

Production is what says so, by the label or annotation `roadstead.dev/environment: production` on a Gateway, a route, an
Ingress, or the namespace of one. Asked is the gateway's own table of routes, so precedence and wildcards count.
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from roadstead.api.objects import Object, ObjectKey, annotations_of, labels_of
from roadstead.api.selectors import label_selector_of
from roadstead.cluster.checks.finding import Checked, Finding
from roadstead.cluster.checks.workloads import Template
from roadstead.gateway.ir import Forward, Proxies, Proxy, Reflect, Route, RouteSource, VirtualHost
from roadstead.gateway.matching import Request, mismatch

ENVIRONMENT = "roadstead.dev/environment"
_PRODUCTION = "production"
_VARIABLE = "ROADSTEAD_ENVIRONMENT"
_METHODS = tuple(f"grpc.reflection.{version}.ServerReflection/ServerReflectionInfo" for version in ("v1", "v1alpha"))
_Subjects = Mapping[tuple[str, ObjectKey], Checked]


def check_reflection(objects: Iterable[Checked], pods: Iterable[Template], proxies: Proxies) -> Iterator[Finding]:
    """Yield the rules of production by which a caller reaches reflection.

    A rule that is about reflection is an error. One that lets everything through is a warning, unless the pods behind
    it are told by `ROADSTEAD_ENVIRONMENT` that they are in production, where services offer no reflection.
    """
    subjects = {(one.kind, one.key): one for one in objects}
    described = list(pods)
    for proxy in proxies.values():
        for route in _exposing(proxy):
            if isinstance(route.action, Reflect):
                yield from _merged(route, proxy, subjects)
                continue
            source = route.source
            found = subjects.get((source.kind, ObjectKey(source.namespace, source.name))) if source else None
            if source is None or found is None or not _in_production(found, proxy, subjects):
                continue
            field = _field(source)
            if "grpc.reflection" in route.match.path.value:
                yield found.finding(field, "exposes reflection in production; remove this rule")
            elif not all(_keeps_quiet(name, subjects, described) for name in _services(proxy, route)):
                message = (
                    "lets callers reach reflection in production if the backend offers it; match the services that "
                    f"are meant, or set {_VARIABLE}={_PRODUCTION} in the pods"
                )
                yield found.finding(field, message, "warning")


def _merged(route: Route, proxy: Proxy, subjects: _Subjects) -> Iterator[Finding]:
    """Yield what an annotation exposes: of the route, or where no route has it, of the Gateway."""
    owner, source = proxy.workload.owner, route.source
    named = source or owner
    found = subjects.get((named.kind, ObjectKey(named.namespace, named.name))) if named else None
    if found is not None and _in_production(found, proxy, subjects):
        yield found.finding("metadata.annotations", "exposes reflection in production; remove roadstead.dev/reflection")


def _field(source: RouteSource) -> str:
    return source.rule_name if source.kind == "Ingress" else f"spec.rules[{source.rule}]"


def _exposing(proxy: Proxy) -> Iterator[Route]:
    for table in proxy.route_tables:
        for host in table.virtual_hosts:
            for method in _METHODS:
                yield from _reaching(host, Request.grpc(0, "", method))


def _reaching(host: VirtualHost, request: Request) -> Iterator[Route]:
    """Yield the lines that some caller reaches with this request, whatever headers that takes."""
    for route in host.routes:
        anyhow = msgspec.structs.replace(route.match, headers=(), query=())
        if mismatch(anyhow, request) is not None:
            continue
        if isinstance(route.action, Forward | Reflect):
            yield route
        if route.match == anyhow and route.match.parts_per_million is None:
            return


def _in_production(found: Checked, proxy: Proxy, subjects: _Subjects) -> bool:
    owner = proxy.workload.owner
    concerned = [("Namespace", ObjectKey("", found.key.namespace))]
    if owner is not None:
        concerned += [
            (owner.kind, ObjectKey(owner.namespace, owner.name)),
            ("Namespace", ObjectKey("", owner.namespace)),
        ]
    others = [subjects[one].object for one in concerned if one in subjects]
    return any(_says_production(obj) for obj in (found.object, *others))


def _says_production(obj: Object) -> bool:
    return _PRODUCTION in (labels_of(obj).get(ENVIRONMENT), annotations_of(obj).get(ENVIRONMENT))


def _services(proxy: Proxy, route: Route) -> Iterator[ObjectKey]:
    endpoints = {cluster.name: cluster.endpoints for cluster in proxy.clusters}
    for destination in route.action.destinations if isinstance(route.action, Forward) else ():
        namespace, name, _ = endpoints[destination.cluster].split("/")
        yield ObjectKey(namespace, name)


def _keeps_quiet(service: ObjectKey, subjects: _Subjects, pods: Iterable[Template]) -> bool:
    found = subjects.get(("Service", service))
    selector = (found.object.get("spec") or {}).get("selector") if found else None
    if not selector:
        return False
    matcher = label_selector_of(selector)
    selected = [pod for pod in pods if pod.owner.key.namespace == service.namespace and matcher.matches(pod.labels)]
    return bool(selected) and all(_told_production(pod) for pod in selected)


def _told_production(pod: Template) -> bool:
    variables = [entry for _, container in pod.containers() for entry in container.get("env") or ()]
    return any(entry.get("name") == _VARIABLE and entry.get("value") == _PRODUCTION for entry in variables)
