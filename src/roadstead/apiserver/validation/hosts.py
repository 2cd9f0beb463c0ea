"""What a pod and its host know each other by: names, DNS settings, entries of /etc/hosts, ports of the host."""

from collections.abc import Sequence

from roadstead.api.objects import ReadOnlyObject
from roadstead.apiserver import causes
from roadstead.apiserver.causes import Causes
from roadstead.apiserver.validation import names
from roadstead.apiserver.validation.fields import address, complain

_NAME_SERVERS = 3
_SEARCH_PATHS = 32
_SEARCH_LENGTH = 2048


def dns(spec: ReadOnlyObject, path: str) -> Causes:
    """Return what is wrong with a pod's DNS settings."""
    config = spec.get("dnsConfig")
    servers = (config or {}).get("nameservers") or ()
    if spec.get("dnsPolicy") == "None":
        if config is None:
            return [causes.required(path, "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not servers:
            detail = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            return [causes.required(f"{path}.nameservers", detail)]
    return _dns_config(config, servers, path) if config is not None else []


def _dns_config(config: ReadOnlyObject, servers: Sequence[str], path: str) -> Causes:
    found: Causes = []
    if len(servers) > _NAME_SERVERS:
        detail = f"must not have more than {_NAME_SERVERS} nameservers"
        found.append(causes.invalid(f"{path}.nameservers", servers, detail))
    for at, server in enumerate(servers):
        found += address(server, f"{path}.nameservers[{at}]")
    searches = config.get("searches") or ()
    if len(searches) > _SEARCH_PATHS:
        detail = f"must not have more than {_SEARCH_PATHS} search paths"
        found.append(causes.invalid(f"{path}.searches", searches, detail))
    if len(" ".join(searches)) > _SEARCH_LENGTH:
        detail = f"must not have more than {_SEARCH_LENGTH} characters (including spaces) in the search list"
        found.append(causes.invalid(f"{path}.searches", searches, detail))
    for at, search in enumerate(searches):
        if search != ".":
            name = search.removesuffix(".")
            found += complain(f"{path}.searches[{at}]", name, names.subdomain_complaints(name.replace("_", "-")))
    for at, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            found.append(causes.required(f"{path}.options[{at}]", "must not be empty"))
    return found


def aliases(aliases: Sequence[ReadOnlyObject], path: str) -> Causes:
    """Return what is wrong with entries of /etc/hosts."""
    found: Causes = []
    for at, alias in enumerate(aliases):
        found += address(alias.get("ip", ""), f"{path}[{at}].ip")
        for index, name in enumerate(alias.get("hostnames") or ()):
            found += complain(f"{path}[{at}].hostnames[{index}]", name, names.subdomain_complaints(name))
    return found


def override(spec: ReadOnlyObject, path: str) -> Causes:
    """Return what is wrong with a host name that replaces what the pod would be called."""
    name = spec.get("hostnameOverride")
    if name is None:
        return []
    found = [
        causes.forbidden(path, f"may not be specified when {field} is true")
        for field in ("setHostnameAsFQDN", "hostNetwork")
        if spec.get(field)
    ]
    if len(name) > 64:
        found.append(causes.too_long(path, 64))
    return found + complain(path, name, names.subdomain_complaints(name))


def host_ports(spec: ReadOnlyObject, path: str, *, is_pod: bool) -> Causes:
    """Return a cause for every port whose number on the host is not that in the pod, where both are the same.

    A template need not say it: its pods get it.
    """
    if not spec.get("hostNetwork"):
        return []
    detail = "must match `containerPort` when `hostNetwork` is true"
    return [
        causes.invalid(f"{path}[{at}].ports[{index}].hostPort", port.get("hostPort", 0), detail)
        for at, container in enumerate(spec.get("containers") or ())
        for index, port in enumerate(container.get("ports") or ())
        if (is_pod or port.get("hostPort")) and port.get("hostPort", 0) != port.get("containerPort", 0)
    ]
