"""Kubeconfigs and service accounts read: which server, and with which credentials.

What kubectl reads, except for credential plugins (`exec`, `auth-provider`) and proxies, which are refused by name.
"""

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from roadstead.client.credentials import Credentials, CredentialsError
from roadstead.lib.yaml_depth import load_yaml

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class Connection:
    """Where a server is, how to be admitted, and the namespace that commands mean by default."""

    server: str
    credentials: Credentials
    namespace: str = "default"


def read_kubeconfig(path: Path, context: str | None = None) -> Connection:
    """Return the connection of a context, by default the current one.

    Raises CredentialsError naming the file and the entry that is missing or unusable.
    """
    try:
        content = load_yaml(path.read_text())
    except OSError as error:
        raise CredentialsError(f"cannot read the kubeconfig {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CredentialsError(f"the kubeconfig {path} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise CredentialsError(f"the kubeconfig {path} is empty")
    return connection_from(content, path, context)


def connection_from(config: Mapping[str, Any], path: Path, context: str | None = None) -> Connection:
    """Return the connection that a kubeconfig's content describes; `path` anchors relative file names."""
    name = context or config.get("current-context")
    if not name:
        raise CredentialsError(f"the kubeconfig {path} has no current-context; name a context")
    chosen = _entry(config, "contexts", "context", name, path)
    cluster = _entry(config, "clusters", "cluster", chosen.get("cluster") or "", path)
    user = _entry(config, "users", "user", chosen["user"], path) if chosen.get("user") else {}
    _refuse_unsupported(cluster, user, path)
    server = str(cluster.get("server") or "")
    if not server:
        raise CredentialsError(f"cluster {chosen.get('cluster')!r} in {path} has no server")
    return Connection(server, _credentials(cluster, user, path.parent), chosen.get("namespace") or "default")


def in_cluster(directory: Path = SERVICE_ACCOUNT, environment: Mapping[str, str] = os.environ) -> Connection:
    """Return the connection of a program that runs in a pod. Raises CredentialsError outside of one."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise CredentialsError("not in a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
    try:
        authority = (directory / "ca.crt").read_bytes()
        namespace = (directory / "namespace").read_text().strip()
    except OSError as error:
        raise CredentialsError(f"cannot read the service account in {directory}: {error.strerror}") from error
    bracketed = f"[{host}]" if ":" in host else host
    credentials = Credentials(ca_pem=authority, token_file=directory / "token")
    return Connection(f"https://{bracketed}:{port}", credentials, namespace)


def _entry(config: Mapping[str, Any], section: str, field: str, name: str, path: Path) -> Mapping[str, Any]:
    listed = config.get(section) or ()
    found = next((entry for entry in listed if isinstance(entry, Mapping) and entry.get("name") == name), None)
    if found is None:
        known = ", ".join(str(entry.get("name")) for entry in listed if isinstance(entry, Mapping)) or "none"
        raise CredentialsError(f"the kubeconfig {path} has no {field} {name!r}; it has: {known}")
    value = found.get(field) or {}
    if not isinstance(value, Mapping):
        raise CredentialsError(f"{section}: {name!r} in {path} is not a mapping")
    return value


def _refuse_unsupported(cluster: Mapping[str, Any], user: Mapping[str, Any], path: Path) -> None:
    for field in ("exec", "auth-provider", "username"):
        if user.get(field):
            raise CredentialsError(f"{path}: credentials by {field!r} are not supported; use a token or a certificate")
    if cluster.get("proxy-url"):
        raise CredentialsError(f"{path}: proxy-url is not supported")


def _credentials(cluster: Mapping[str, Any], user: Mapping[str, Any], base: Path) -> Credentials:
    token_file = user.get("tokenFile")
    return Credentials(
        ca_pem=_pem(cluster, "certificate-authority", base),
        token=user.get("token") or "",
        token_file=base / token_file if token_file and not user.get("token") else None,
        certificate_pem=_pem(user, "client-certificate", base),
        key_pem=_pem(user, "client-key", base),
        insecure_skip_tls_verify=bool(cluster.get("insecure-skip-tls-verify")),
        server_name=cluster.get("tls-server-name") or "",
    )


def _pem(entry: Mapping[str, Any], field: str, base: Path) -> bytes:
    """Return the content of `<field>-data` or of the file that `<field>` names; the content wins, as in kubectl."""
    encoded, name = entry.get(f"{field}-data"), str(entry.get(field) or "")
    try:
        if encoded:
            return base64.b64decode(encoded, validate=True)
        return (base / name).read_bytes() if name else b""
    except (binascii.Error, ValueError, TypeError) as error:
        raise CredentialsError(f"{field}-data is not base64") from error
    except OSError as error:
        raise CredentialsError(f"cannot read {field} {base / name}: {error.strerror}") from error
