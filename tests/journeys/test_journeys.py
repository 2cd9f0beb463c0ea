"""Walks every case of this directory through the stages whose files it has (see README.md)."""

import base64
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gateway_objects as given
import goldens
import msgspec
import pytest
import yaml
from recording_cluster import RecordingCluster

from roadstead.api.objects import Object, key_of
from roadstead.api.resources import Scheme
from roadstead.apiserver.admission.defaults import apply_defaults, write_zeros
from roadstead.gateway import ir
from roadstead.gateway.gather import READ_KINDS
from roadstead.gateway.statuses import patch_for
from roadstead.gateway.translate import Translation, translate
from roadstead.gateway.xds import render
from roadstead.lib.pki import covered_names

CASES = sorted(path.parent for path in Path(__file__).parent.glob("*/1-manifest.yaml"))
MADE_CERTIFICATE = re.compile(r"\$\{certificate ([^}]+)\}")
SCHEME = Scheme()
WRITTEN_AT = "2026-11-22T12:00:00Z"
WORKLOADS = ("Deployment", "Service")
READ_BY_GATEWAY = {kind.kind for kind in READ_KINDS.values()}


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_stored(case: Path) -> None:
    check(case, "2-stored.yaml", [without_bookkeeping(obj) for obj in stored(case / "1-manifest.yaml")])


def test_actions(case: Path) -> None:
    check(case, "3-actions.yaml", ran(case).record)


def test_ir(case: Path) -> None:
    proxies = changed_proxies(translated(case).proxies, before(case).proxies)
    check(case, "4-ir.yaml", [plain(proxy) for proxy in proxies])


def test_xds(case: Path) -> None:
    proxies = changed_proxies(translated(case).proxies, before(case).proxies)
    check(case, "5-xds.yaml", {proxy.key: without_bytes(render(proxy)) for proxy in proxies})


def test_status(case: Path) -> None:
    by_key = {(obj["kind"], key_of(obj)): obj for obj in seen_by_gateway(case)}
    said = [
        (update, patch_for(update, by_key[update.kind, update.key], WRITTEN_AT)) for update in translated(case).statuses
    ]
    check(case, "6-status.yaml", {f"{one.kind} {one.key}": patch["status"] for one, patch in said if patch})


def check(case: Path, name: str, value: Any) -> None:
    """Compare with a golden that may hold what YAML prints; so both sides are read from YAML."""
    goldens.check(case / name, yaml.load(goldens.dump(value), yaml.CSafeLoader))


def translated(case: Path) -> Translation:
    found = seen_by_gateway(case)
    connected = ir.ProxyState(connected=1)
    keys = [ir.gateway_proxy_key(*key_of(obj)) for obj in found if obj["kind"] == "Gateway"]
    states = dict.fromkeys([*keys, ir.INGRESS_PROXY_KEY], connected)
    return translate(given.resources(found, proxy_states=states, default_certificate=fallback()))


def before(case: Path) -> Translation:
    found = [obj for obj in stored(case / "0-given.yaml") if obj["kind"] in READ_BY_GATEWAY]
    return translate(given.resources(found, default_certificate=fallback()))


def fallback() -> ir.Certificate:
    pair = given.key_pair("ingress.local")
    return ir.Certificate("default-certificate", pair.certificate, ir.PrivateKey(pair.key))


def seen_by_gateway(case: Path) -> list[Object]:
    """Return what the gateway sees once the controllers are content: the endpoints are those that they planned."""
    found = [*everything(case), *ran(case).all("EndpointSlice")]
    return [obj for obj in found if obj["kind"] in READ_BY_GATEWAY]


def ran(case: Path) -> RecordingCluster:
    """Return a cluster that has come to rest with the workloads of a case."""
    cluster = RecordingCluster()
    for obj in everything(case):
        if obj["kind"] in WORKLOADS:
            cluster.create(obj)
    cluster.pods_start()
    return cluster


def everything(case: Path) -> list[Object]:
    return [*stored(case / "0-given.yaml"), *stored(case / "1-manifest.yaml")]


def stored(path: Path) -> list[Object]:
    """Return the objects of a manifest as the API server stores them."""
    found = []
    for obj in yaml.load_all(path.read_text(), yaml.CSafeLoader):
        if obj["kind"] == "Secret":
            obj["data"] = made_certificate(obj["data"])
        kind = SCHEME.by_kind(obj["apiVersion"], obj["kind"])
        assert kind is not None
        apply_defaults(kind, obj)
        write_zeros(kind, obj)
        found.append(given.stored(obj))
    return found


def made_certificate(data: Any) -> Any:
    match = MADE_CERTIFICATE.fullmatch(data) if isinstance(data, str) else None
    if match is None:
        return data
    pair = given.key_pair(*match[1].split())
    content = {"tls.crt": pair.certificate, "tls.key": pair.key}
    return {field: base64.b64encode(value).decode() for field, value in content.items()}


def without_bookkeeping(obj: Object) -> Object:
    metadata = {name: value for name, value in obj["metadata"].items() if name in ("name", "namespace", "labels")}
    return {**obj, "metadata": metadata}


def changed_proxies(after: ir.Proxies, before: ir.Proxies) -> Iterable[ir.Proxy]:
    return [proxy for key, proxy in sorted(after.items()) if before.get(key) != proxy]


def plain(proxy: ir.Proxy) -> Any:
    """Return the IR as YAML can say it: certificates by their names, keys not at all."""
    named = [msgspec.structs.replace(one, chain=names_of(one.chain).encode()) for one in proxy.certificates]
    built = msgspec.to_builtins(
        msgspec.structs.replace(proxy, certificates=tuple(named)), enc_hook=repr, builtin_types=(bytes,)
    )
    return texts(built)


def texts(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return {key: texts(item) for key, item in value.items()}
    return [texts(item) for item in value] if isinstance(value, list | tuple) else value


def names_of(chain: bytes) -> str:
    return f"(a certificate for {', '.join(covered_names(chain))})"


def without_bytes(rendered: Any) -> Any:
    """Return what Envoy is told with the names of a certificate in place of its bytes."""
    if isinstance(rendered, dict) and set(rendered) == {"inline_bytes"}:
        content = base64.b64decode(rendered["inline_bytes"])
        return {"inline_bytes": names_of(content) if b"CERTIFICATE" in content else content.decode()}
    if isinstance(rendered, dict):
        return {key: without_bytes(item) for key, item in sorted(rendered.items())}
    return [without_bytes(item) for item in rendered] if isinstance(rendered, list) else rendered
