"""What validators of all kinds share: complaints become causes; labels, selectors, immutable fields.

Validators get objects whose types are right and that have their defaults; what is absent may still be absent.
"""

import re
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from roadstead.api.objects import Object, ReadOnlyObject
from roadstead.apiserver import causes
from roadstead.apiserver.causes import Causes
from roadstead.apiserver.validation import names

Validator = Callable[[Object, Object | None], Causes]
"""From an object and, for an update, the stored one to what is wrong with it."""


def complain(field: str, value: Any, complaints: Iterable[str]) -> Causes:
    """Return one "Invalid value" per complaint."""
    return [causes.invalid(field, value, complaint) for complaint in complaints]


def one_of(field: str, value: Any, supported: Iterable[str], *, required: bool = False) -> Causes:
    """Return a cause unless the value is one of those supported, or absent where it may be."""
    if not value:
        return [causes.required(field)] if required else []
    return [] if value in supported else [causes.not_supported(field, value, supported)]


def not_negative(parent: ReadOnlyObject, path: str, *fields: str) -> Causes:
    """Return a cause for every field that is a negative number."""
    detail = "must be greater than or equal to 0"
    return [
        causes.invalid(f"{path}.{name}", parent[name], detail)
        for name in fields
        if parent.get(name) is not None and parent[name] < 0
    ]


def required_name(parent: ReadOnlyObject, path: str, check: names.Check, *, key: str = "name") -> Causes:
    """Return what is wrong with a name that must be there."""
    value = parent.get(key)
    if not value:
        return [causes.required(f"{path}.{key}")]
    return complain(f"{path}.{key}", value, check(value))


def immutable(new: Any, old: Any, field: str) -> Causes:
    """Return a cause if a field has changed that may not."""
    return [] if new == old else [causes.invalid(field, new, "field is immutable")]


def labels(value: ReadOnlyObject | None, path: str) -> Causes:
    """Return what is wrong with labels."""
    found: Causes = []
    for key, text in (value or {}).items():
        found += complain(path, key, names.qualified_name_complaints(key))
        found += complain(path, text, names.label_value_complaints(text))
    return found


def label_selector(selector: ReadOnlyObject | None, path: str) -> Causes:
    """Return what is wrong with a label selector."""
    selector = selector or {}
    found = labels(selector.get("matchLabels"), f"{path}.matchLabels")
    for at, term in enumerate(selector.get("matchExpressions") or ()):
        found += _requirement(term, f"{path}.matchExpressions[{at}]")
    return found


def _requirement(term: ReadOnlyObject, path: str) -> Causes:
    found: Causes = []
    operator, values = term.get("operator", ""), term.get("values") or ()
    if operator in ("In", "NotIn"):
        if not values:
            detail = "must be specified when `operator` is 'In' or 'NotIn'"
            found.append(causes.required(f"{path}.values", detail))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            found.append(causes.forbidden(f"{path}.values", detail))
    else:
        found.append(causes.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    found += complain(f"{path}.key", term.get("key", ""), names.qualified_name_complaints(term.get("key", "")))
    for at, value in enumerate(values):
        found += complain(f"{path}.values[{at}]", value, names.label_value_complaints(value))
    return found


def is_empty_selector(selector: ReadOnlyObject) -> bool:
    """Say whether a label selector has no terms."""
    return not selector.get("matchLabels") and not selector.get("matchExpressions")


def int_or_percent(value: Any, field: str) -> Causes:
    """Return what is wrong with a number of pods or a share of them."""
    if isinstance(value, str):
        return complain(field, value, names.percent_complaints(value))
    return [causes.invalid(field, value, "must be greater than or equal to 0")] if value < 0 else []


def at_most_all(value: Any, field: str) -> Causes:
    """Return a cause for a share that is more than the whole."""
    if not isinstance(value, str) or names.percent_complaints(value) or int(value[:-1]) <= 100:
        return []
    return [causes.invalid(field, value, "must not be greater than 100%")]


def is_address(value: str) -> bool:
    """Say whether a text is an IP address."""
    try:
        return bool(ip_address(value))
    except ValueError:
        return False


def address(value: str, field: str) -> Causes:
    """Return what is wrong with an IP address."""
    if not is_address(value):
        if is_address(_ZEROS.sub("", value)):
            return [causes.invalid(field, value, "must not have leading 0s")]
        return [causes.invalid(field, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")]
    if getattr(ip_address(value), "ipv4_mapped", None) is not None:
        return [causes.invalid(field, value, "must not be an IPv4-mapped IPv6 address")]
    return []


_ZEROS = re.compile(r"(?<![0-9a-fA-F:])0+(?=[0-9]+(\.|$))")


def reachable(value: str, field: str) -> Causes:
    """Return a cause for an address that nobody else can mean: unspecified, of the machine itself, of its link."""
    address = ip_address(value)
    ranges = {
        "may not be unspecified (0.0.0.0)": address.is_unspecified and address.version == 4,
        "may not be unspecified (::)": address.is_unspecified and address.version == 6,
        "may not be in the loopback range (127.0.0.0/8, ::1/128)": address.is_loopback,
        "may not be in the link-local range (169.254.0.0/16, fe80::/10)": address.is_link_local,
        "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)": any(
            address in part for part in _LINK_MULTICAST if part.version == address.version
        ),
    }
    return [causes.invalid(field, value, detail) for detail, holds in ranges.items() if holds]


_LINK_MULTICAST = (IPv4Network("224.0.0.0/24"), IPv6Network("ff02::/16"))


def network(value: str) -> IPv4Network | IPv6Network | None:
    """Return the network that a CIDR text means, None if it is none."""
    try:
        return ip_network(value, strict=False) if "/" in value else None
    except ValueError:
        return None


def cidr(value: str, field: str) -> Causes:
    """Return what is wrong with a CIDR."""
    found = network(value)
    if found is None:
        return [causes.invalid(field, value, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")]
    if ip_address(value.split("/")[0]) != found.network_address:
        return [causes.invalid(field, value, "must not have bits set beyond the prefix length")]
    return []
