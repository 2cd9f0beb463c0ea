"""What is wrong with manifests, said before anything runs: the content of `roadstead check`. Pure, without a cluster.

The judges are those that a cluster has, the API server's validation, the gateway's translation, the node's images and
policies, so nothing is found here that would not happen there. Next: `checks`, one module for each kind of mistake.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from roadstead.api.objects import Object, ObjectKey, key_of
from roadstead.api.resources import resource
from roadstead.apiserver import bootstrap
from roadstead.apiserver.versions import convert
from roadstead.client.manifests import Manifests
from roadstead.cluster.bootstrap import OBJECTS
from roadstead.cluster.certificates import AUTHORITY_NAME, secret_manifest
from roadstead.cluster.checks import policies, reflection, workloads
from roadstead.cluster.checks.admission import admit, stored_as_is
from roadstead.cluster.checks.balancing import check_balancing
from roadstead.cluster.checks.claims import check_claims
from roadstead.cluster.checks.finding import Checked, Finding, unreadable
from roadstead.cluster.checks.overlap import check_overlap
from roadstead.cluster.checks.routing import check_routing
from roadstead.cluster.descriptors import Services
from roadstead.cluster.routing import by_key, translated
from roadstead.gateway.gather import READ_KINDS
from roadstead.gateway.translate import Translation
from roadstead.lib.pki import CertificateAuthority
from roadstead.node.images import Installation
from roadstead.node.project import Project

_HAVING_KEYS = ("Secret", "ConfigMap")


def check(
    manifests: Manifests, project: Project, here: Installation, now: datetime, services: Services | None = None
) -> list[Finding]:
    """Return what is wrong, in the order of files and lines; each thing once.

    `services` are those that policies may name; None if that is not to be looked up. The Secrets that the project's
    [certificates] will make count as made; what their files hold now does not matter.
    """
    made_anew = {certificate.manifest.resolve() for certificate in project.certificates.values()}
    documents = [one for one in manifests.documents if one.path.resolve() not in made_anew]
    findings = [unreadable(one) for one in manifests.problems if one.path.resolve() not in made_anew]
    objects, refusals = admit(documents, now)
    secrets = [stored_as_is(resource("Secret"), one, now) for one in _secrets(project, now)]
    findings += [*refusals, *_of_workloads(objects, secrets, project, here)]
    findings += policies.check_policies(objects, services)
    findings += _of_gateway(objects, _translation(objects, secrets, now))
    return sorted(dict.fromkeys(findings), key=lambda one: (str(one.path), one.line, one.severity, one.message))


def _of_workloads(
    objects: list[Checked], secrets: Iterable[Object], project: Project, here: Installation
) -> Iterator[Finding]:
    pods = workloads.templates(objects)
    keeping = [*(one.object for one in objects if one.kind in _HAVING_KEYS), *secrets]
    there = {(obj["kind"], key_of(obj)): _keys(obj) for obj in keeping}
    yield from workloads.check_images(pods, project, here)
    yield from workloads.check_fields(pods)
    yield from workloads.check_references(pods, there)
    yield from workloads.check_services(objects, pods)
    yield from workloads.check_policies(objects)
    yield from check_balancing(objects, pods)
    yield from check_claims(objects, pods)


def _keys(obj: Object) -> set[str]:
    return {*(obj.get("data") or {}), *(obj.get("binaryData") or {})}


def _of_gateway(objects: list[Checked], translation: Translation) -> Iterator[Finding]:
    yield from check_routing(objects, translation)
    yield from check_overlap(objects, translation.proxies)
    yield from reflection.check_reflection(objects, workloads.templates(objects), translation.proxies)


def _secrets(project: Project, now: datetime) -> Iterator[Object]:
    """Yield what `roadstead cert` would make, signed by an authority that nobody keeps."""
    if not project.certificates:
        return
    authority = CertificateAuthority.create(AUTHORITY_NAME, now)
    for certificate in project.certificates.values():
        pair = authority.issue(certificate.hosts[0], now, hosts=certificate.hosts)
        yield secret_manifest(certificate, pair, authority.pair.certificate)


def _translation(objects: Iterable[Checked], secrets: Iterable[Object], now: datetime) -> Translation:
    namespaces = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in bootstrap.NAMESPACES
    ]
    given = [stored_as_is(resource(obj["kind"]), obj, now) for obj in (*namespaces, *OBJECTS)]
    found: dict[tuple[str, str], dict[ObjectKey, Object]] = {}
    for obj in (*given, *(one.object for one in objects), *secrets):
        found.setdefault(_identity(obj), {}).update(by_key([obj]))
    caches = {}
    for name, kind in READ_KINDS.items():
        stored = found.get((kind.group, kind.kind), {})
        caches[name] = {key: convert(obj, kind) for key, obj in stored.items()}
    return translated(caches, now)


def _identity(obj: Object) -> tuple[str, str]:
    return obj["apiVersion"].rpartition("/")[0], obj["kind"]
