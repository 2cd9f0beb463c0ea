"""BackendTLSPolicy: how the gateway begins TLS to a Service, and what it demands of the Service's certificate.

Of several policies on one Service port the oldest counts (backendtlspolicy_types.go). A port whose policy cannot be
kept is not spoken to at all: never without the TLS that somebody asked for.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from roadstead.api.conditions import condition
from roadstead.api.objects import Object, ObjectKey, key_of, metadata_of
from roadstead.gateway.ir import TrustBundle, UpstreamTls
from roadstead.gateway.resources import GATEWAY_GROUP, Resources
from roadstead.gateway.statuses import StatusUpdate, generation_of, update_for
from roadstead.gateway.translate.certificates import UNREADABLE
from roadstead.gateway.translate.fields import mapping, mappings, spec_of, text, text_map
from roadstead.gateway.translate.hostnames import ANY, is_hostname
from roadstead.gateway.translate.problem import Problem, joined

_AUTHORITIES = "ca.crt"
_MOST_ANCESTORS = 16


class PolicyTarget(NamedTuple):
    """A Service and the name of one of its ports; an empty name stands for all of them."""

    service: ObjectKey
    section: str


@dataclass(frozen=True, slots=True)
class PolicyPlan:
    """A policy, decided. `unaccepted`: it cannot be kept. `unresolved`: authorities that cannot be had."""

    obj: Object
    tls: UpstreamTls
    trust: TrustBundle | None
    targets: tuple[PolicyTarget, ...]
    unaccepted: Problem | None = None
    unresolved: Problem | None = None


BackendTls = Mapping[PolicyTarget, PolicyPlan]
"""The policy in force for each target."""


def plan_policies(resources: Resources) -> tuple[PolicyPlan, ...]:
    """Return all policies, the oldest first."""
    plans = [_plan(policy, resources) for policy in resources.backend_tls_policies.values()]
    return tuple(sorted(plans, key=_age))


def in_force(plans: Iterable[PolicyPlan]) -> BackendTls:
    """Return the policy that counts for each target: the oldest."""
    found: dict[PolicyTarget, PolicyPlan] = {}
    for plan in plans:
        for target in plan.targets:
            found.setdefault(target, plan)
    return found


def policy_for(service: ObjectKey, port_name: str, policies: BackendTls) -> PolicyPlan | None:
    """Return the policy of a Service port: one that names the port before one for the whole Service."""
    named = policies.get(PolicyTarget(service, port_name)) if port_name else None
    return named or policies.get(PolicyTarget(service, ""))


def _age(plan: PolicyPlan) -> tuple[str, str]:
    return text(metadata_of(plan.obj).get("creationTimestamp")), str(key_of(plan.obj))


def _plan(policy: Object, resources: Resources) -> PolicyPlan:
    validation = mapping(spec_of(policy).get("validation"))
    hostname = text(validation.get("hostname"))
    authorities, problems = _authorities(policy, validation, resources)
    trust = TrustBundle(f"backendtlspolicy/{key_of(policy)}", authorities) if authorities else None
    tls = UpstreamTls(sni=hostname, trust=trust.name if trust else "", subject_names=tuple(_subjects(validation)))
    return PolicyPlan(
        policy,
        tls,
        trust,
        tuple(_targets(policy)),
        unaccepted=_fault(hostname, trust, validation, problems),
        unresolved=joined(problems),
    )


def _fault(
    hostname: str, trust: TrustBundle | None, validation: Mapping[str, Any], problems: list[Problem]
) -> Problem | None:
    if hostname == ANY or hostname.startswith("*") or not is_hostname(hostname):
        return Problem("Invalid", f"spec.validation.hostname: {hostname!r} is not a host name")
    if trust is None and problems:
        return Problem("NoValidCACertificate", "; ".join(problem.message for problem in problems))
    well_known = text(validation.get("wellKnownCACertificates"))
    if trust is None and well_known != "System":
        message = "spec.validation: state caCertificateRefs or wellKnownCACertificates: System"
        return Problem("Invalid" if well_known else "NoValidCACertificate", message)
    return None


def _targets(policy: Object) -> Iterator[PolicyTarget]:
    for reference in mappings(spec_of(policy).get("targetRefs")):
        if (text(reference.get("group")), text(reference.get("kind"))) == ("", "Service"):
            service = ObjectKey(key_of(policy).namespace, text(reference.get("name")))
            yield PolicyTarget(service, text(reference.get("sectionName")))


def _subjects(validation: Mapping[str, Any]) -> Iterator[str]:
    for name in mappings(validation.get("subjectAltNames")):
        value = text(name.get("uri")) if name.get("type") == "URI" else text(name.get("hostname"))
        if value:
            yield value


def _authorities(policy: Object, validation: Mapping[str, Any], resources: Resources) -> tuple[bytes, list[Problem]]:
    found: list[bytes] = []
    problems: list[Problem] = []
    for index, reference in enumerate(mappings(validation.get("caCertificateRefs"))):
        field = f"spec.validation.caCertificateRefs[{index}]"
        kind, key = text(reference.get("kind")), ObjectKey(key_of(policy).namespace, text(reference.get("name")))
        if (text(reference.get("group")), kind) != ("", "ConfigMap"):
            problems.append(Problem("InvalidKind", f"{field}: {kind} is not a kind of authority; use ConfigMap"))
            continue
        bundle = authorities_of(resources.config_maps.get(key))
        if bundle is None:
            message = f"{field}: ConfigMap {key} does not exist or has no PEM certificates in {_AUTHORITIES}"
            problems.append(Problem("InvalidCACertificateRef", message))
        else:
            found.append(bundle)
    return b"".join(found), problems


def authorities_of(config_map: Object | None) -> bytes | None:
    """Return the certificates in a ConfigMap's `ca.crt`, or None if there are none."""
    content = text_map((config_map or {}).get("data")).get(_AUTHORITIES, "")
    try:
        certificates = x509.load_pem_x509_certificates(content.encode())
        return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)
    except UNREADABLE:
        return None


def policy_status(
    plan: PolicyPlan, policies: BackendTls, gateways: Iterable[tuple[ObjectKey, str]], resources: Resources
) -> StatusUpdate | None:
    """Return what a policy's status says to each Gateway (key, controller's name) that uses a Service of it."""
    ours = mappings(mapping(plan.obj.get("status")).get("ancestors"))
    stale = any(entry.get("controllerName") in resources.controller_names for entry in ours)
    ancestors = [_ancestor(plan, policies, key, name) for key, name in sorted(set(gateways))[:_MOST_ANCESTORS]]
    if not ancestors and not stale:
        return None
    return update_for(plan.obj, {"ancestors": ancestors}, owner_names=resources.controller_names)


def _ancestor(plan: PolicyPlan, policies: BackendTls, gateway: ObjectKey, controller_name: str) -> Object:
    generation = generation_of(plan.obj)
    problem = plan.unaccepted or _conflict(plan, policies)
    reference = {"group": GATEWAY_GROUP, "kind": "Gateway", "namespace": gateway.namespace, "name": gateway.name}
    accepted = (False, *problem) if problem else (True, "Accepted", "")
    resolved = (False, *plan.unresolved) if plan.unresolved else (True, "ResolvedRefs", "")
    return {
        "ancestorRef": reference,
        "controllerName": controller_name,
        "conditions": [
            condition("Accepted", *accepted, generation=generation),
            condition("ResolvedRefs", *resolved, generation=generation),
        ],
    }


def _conflict(plan: PolicyPlan, policies: BackendTls) -> Problem | None:
    for target in plan.targets:
        winner = policies[target]
        if key_of(winner.obj) != key_of(plan.obj):
            message = f"BackendTLSPolicy {key_of(winner.obj)} has the same target {target.service} and is older"
            return Problem("Conflicted", message)
    return None
