"""Client certificates at both ends of a Gateway: those that it asks clients for, and the one that it shows to backends.

Source: gateway-api, apis/v1/gateway_types.go (GatewayTLSConfig). Clients are asked on HTTPS listeners only: by what
`spec.tls.frontend` says for the listener's port, or else by its default. Next: `gateways`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from roadstead.api.objects import Object, ObjectKey, key_of
from roadstead.gateway.ir import Certificate, Cluster, TrustBundle
from roadstead.gateway.resources import Resources
from roadstead.gateway.translate.backendtls import authorities_of
from roadstead.gateway.translate.fields import integer, mapping, mappings, spec_of, text
from roadstead.gateway.translate.listeners import (
    HTTPS,
    TERMINATE,
    TLS,
    ClientCheck,
    ListenerPlan,
    referenced_certificate,
)
from roadstead.gateway.translate.problem import Problem, joined
from roadstead.gateway.translate.references import Referrer, Target, is_permitted, not_permitted_message

INSECURE = "AllowInsecureFallback"


@dataclass(frozen=True, slots=True)
class BackendIdentity:
    """What the Gateway shows to backends that it speaks TLS to; `unresolved`: why it has nothing to show."""

    certificate: Certificate | None = None
    unresolved: Problem | None = None


def backend_identity(gateway: Object, resources: Resources) -> BackendIdentity | None:
    """Return what `spec.tls.backend` says, or None if it says nothing."""
    reference = mapping(mapping(_tls(gateway).get("backend")).get("clientCertificateRef"))
    if not reference:
        return None
    field = "spec.tls.backend.clientCertificateRef"
    referrer = Referrer("Gateway", key_of(gateway).namespace)
    found = referenced_certificate(referrer, field, reference, resources)
    if not isinstance(found, Problem):
        return BackendIdentity(found.certificate)
    reason = "InvalidClientCertificateRef" if found.reason == "InvalidCertificateRef" else found.reason
    return BackendIdentity(unresolved=Problem(reason, found.message))


def showing(identity: BackendIdentity | None, clusters: Iterable[Cluster]) -> Iterator[Cluster]:
    """Yield the clusters, those with TLS showing this certificate."""
    certificate = identity.certificate if identity else None
    for cluster in clusters:
        if certificate is None or cluster.tls is None:
            yield cluster
        else:
            tls = msgspec.structs.replace(cluster.tls, client_certificate=certificate.name)
            yield msgspec.structs.replace(cluster, tls=tls)


def asking_clients(
    gateway: Object, listeners: Iterable[ListenerPlan], resources: Resources
) -> tuple[ListenerPlan, ...]:
    """Return the listeners, those for HTTPS with what they ask of clients."""
    frontend = mapping(_tls(gateway).get("frontend"))
    return tuple(_asking(gateway, frontend, plan, resources) if frontend else plan for plan in listeners)


def is_exempt(gateway: Object, plan: ListenerPlan) -> bool:
    """Say whether `tls.frontend` asks clients of this port for a certificate, but not those of this listener.

    It is for HTTPS (FrontendTLSConfig), and a listener for TLS that ends here is none, though it may look like one.
    """
    stated = dict(_validations(mapping(_tls(gateway).get("frontend"))))
    asked = bool(stated[plan.port if plan.port in stated else 0])
    return asked and plan.protocol == TLS and plan.mode == TERMINATE


def is_insecure(gateway: Object) -> bool:
    """Say whether clients with a wrong certificate, or none, are let in somewhere although one is asked for."""
    return any(
        text(stated.get("mode")) == INSECURE for _, stated in _validations(mapping(_tls(gateway).get("frontend")))
    )


def _tls(gateway: Object) -> Mapping[str, Any]:
    return mapping(spec_of(gateway).get("tls"))


def _validations(frontend: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield what is stated for each port; for the default the port is 0."""
    yield 0, mapping(mapping(frontend.get("default")).get("validation"))
    for entry in mappings(frontend.get("perPort")):
        yield integer(entry.get("port")), mapping(mapping(entry.get("tls")).get("validation"))


def _asking(gateway: Object, frontend: Mapping[str, Any], plan: ListenerPlan, resources: Resources) -> ListenerPlan:
    if plan.protocol != HTTPS or not plan.is_accepted:
        return plan
    stated = dict(_validations(frontend))
    port = plan.port if plan.port in stated else 0
    validation = stated[port]
    if not validation:
        return plan
    field = "spec.tls.frontend." + (f"perPort[port={port}].tls" if port else "default")
    authorities, problems = _authorities(gateway, f"{field}.validation", validation, resources)
    unresolved = joined([*([plan.unresolved] if plan.unresolved else []), *problems])
    if not authorities:
        message = "; ".join(problem.message for problem in problems) or f"{field}.validation names no authority"
        return replace(plan, unaccepted=Problem("NoValidCACertificate", message), unresolved=unresolved)
    trust = TrustBundle(f"clients/{key_of(gateway)}/{port or 'default'}", authorities)
    return replace(plan, unresolved=unresolved, clients=ClientCheck(trust, text(validation.get("mode")) == INSECURE))


def _authorities(
    gateway: Object, field: str, validation: Mapping[str, Any], resources: Resources
) -> tuple[bytes, list[Problem]]:
    found: list[bytes] = []
    problems: list[Problem] = []
    for index, reference in enumerate(mappings(validation.get("caCertificateRefs"))):
        bundle = _bundle(gateway, f"{field}.caCertificateRefs[{index}]", reference, resources)
        if isinstance(bundle, Problem):
            problems.append(bundle)
        else:
            found.append(bundle)
    return b"".join(found), problems


def _bundle(gateway: Object, field: str, reference: Mapping[str, Any], resources: Resources) -> bytes | Problem:
    own = key_of(gateway).namespace
    group, kind = text(reference.get("group")), text(reference.get("kind"))
    target = Target(group, kind, text(reference.get("namespace")) or own, text(reference.get("name")))
    if (group, kind) != ("", "ConfigMap"):
        return Problem("InvalidCACertificateKind", f"{field}: {kind} is not a kind of authority; use ConfigMap")
    referrer = Referrer("Gateway", own)
    if not is_permitted(resources, referrer, target):
        return Problem("RefNotPermitted", not_permitted_message(field, referrer, target))
    bundle = authorities_of(resources.config_maps.get(ObjectKey(target.namespace, target.name)))
    if bundle is None:
        message = f"{field}: {target} does not exist or has no PEM certificates in ca.crt"
        return Problem("InvalidCACertificateRef", message)
    return bundle
