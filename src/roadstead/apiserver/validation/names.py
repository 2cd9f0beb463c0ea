"""What names, labels, ports and quantities must look like (apimachinery's pkg/util/validation and pkg/api/validate).

Every function returns the complaints about one text or number, none if it is as it should be.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from roadstead.api.quantities import parse_quantity

Check = Callable[[str], list[str]]

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_SERVICE: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"
_KEY: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_CONFIG_KEY: Final = "[-._a-zA-Z0-9]+"
_HEADER: Final = "[-A-Za-z0-9]+"
_PERCENT: Final = "[0-9]+%"

_is_label = re.compile(_LABEL).fullmatch
_is_subdomain = re.compile(_SUBDOMAIN).fullmatch
_is_service = re.compile(_SERVICE).fullmatch
_is_key = re.compile(_KEY).fullmatch
_is_config_key = re.compile(_CONFIG_KEY).fullmatch
_is_wildcard = re.compile(rf"\*\.{_SUBDOMAIN}").fullmatch

_LABEL_WORDS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character"
)
_SUBDOMAIN_WORDS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character"
)
_SERVICE_WORDS = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character"
)
_WILDCARD_WORDS = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
)
_KEY_WORDS = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_VALUE_WORDS = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character"
)


def _expected(words: str, pattern: str, *examples: str) -> str:
    # Two spaces before "or", as Kubernetes has them.
    shown = "  or ".join(f"'{example}'," for example in examples)
    if not shown:
        return f"{words} (regex used for validation is '{pattern}')"
    return f"{words} (e.g. {shown} regex used for validation is '{pattern}')"


def _at_most(value: str, limit: int, unit: str = "characters") -> list[str]:
    return [f"must be no more than {limit} {unit}"] if len(value) > limit else []


def between(value: Any, low: int, high: int) -> list[str]:
    """Complain about a number outside of its bounds, which are included."""
    return [] if low <= value <= high else [f"must be between {low} and {high}, inclusive"]


def label_complaints(value: str) -> list[str]:
    """Complain about a name that is no DNS label (RFC 1123)."""
    complaints = _at_most(value, 63)
    if not _is_label(value):
        dotted = _is_subdomain(value)
        complaints.append("must not contain dots" if dotted else _expected(_LABEL_WORDS, _LABEL, "my-name", "123-abc"))
    return complaints


def subdomain_complaints(value: str) -> list[str]:
    """Complain about a name that is no DNS subdomain (RFC 1123): what most objects are called."""
    complaints = _at_most(value, 253)
    if not _is_subdomain(value):
        complaints.append(_expected(_SUBDOMAIN_WORDS, _SUBDOMAIN, "example.com"))
    return complaints


def service_name_complaints(value: str) -> list[str]:
    """Complain about a name that is no DNS label as of RFC 1035, as versions and kinds must be."""
    complaints = _at_most(value, 63)
    if not _is_service(value):
        complaints.append(_expected(_SERVICE_WORDS, _SERVICE, "my-name", "abc-123"))
    return complaints


def host_complaints(value: str) -> list[str]:
    """Complain about a host name that may start with a wildcard."""
    if "*" not in value:
        return subdomain_complaints(value)
    complaints = _at_most(value, 253)
    if not _is_wildcard(value):
        complaints.append(_expected(_WILDCARD_WORDS, rf"\*\.{_SUBDOMAIN}", "*.example.com"))
    return complaints


def path_segment_complaints(value: str) -> list[str]:
    """Complain about a name that cannot be part of a URL's path; roles may be called anything else."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{part}'" for part in ("/", "%") if part in value]


def qualified_name_complaints(value: str) -> list[str]:
    """Complain about a key of a label: a name with an optional DNS prefix."""
    key = _expected(_KEY_WORDS, _KEY, "MyName", "my.name", "123-abc")
    parts = value.split("/")
    if len(parts) > 2:
        return [f"a valid label key {key} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    complaints: list[str] = []
    if len(parts) == 2:
        prefix = ["must be non-empty"] if not parts[0] else subdomain_complaints(parts[0])
        complaints = [f"prefix part {complaint}" for complaint in prefix]
    name = parts[-1]
    size = ["must be non-empty"] if not name else _at_most(name, 63, "bytes")
    complaints += [f"name part {complaint}" for complaint in size]
    if not _is_key(name):
        complaints.append(f"name part {key}")
    return complaints


def label_value_complaints(value: str) -> list[str]:
    """Complain about the value of a label."""
    complaints = _at_most(value, 63, "bytes")
    if value and not _is_key(value):
        complaints.append(_expected(_VALUE_WORDS, f"({_KEY})?", "MyValue", "my_value", "12345"))
    return complaints


def port_complaints(value: Any) -> list[str]:
    """Complain about a port number."""
    return between(value, 1, 65535)


def port_name_complaints(value: str) -> list[str]:
    """Complain about the name of a port (IANA_SVC_NAME)."""
    complaints = _at_most(value, 15)
    if not re.fullmatch("[-a-z0-9]+", value):
        complaints.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", value):
        complaints.append("must contain at least one letter (a-z)")
    if "--" in value:
        complaints.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        complaints.append("must not begin or end with a hyphen")
    return complaints


def port_or_name_complaints(value: Any) -> list[str]:
    """Complain about a port given by number or by name."""
    return port_name_complaints(value) if isinstance(value, str) else port_complaints(value)


def percent_complaints(value: str) -> list[str]:
    """Complain about a text that is no percentage."""
    words = "a valid percent string must be a numeric string followed by an ending '%'"
    return [] if re.fullmatch(_PERCENT, value) else [_expected(words, _PERCENT, "1%", "93%")]


def config_key_complaints(value: str) -> list[str]:
    """Complain about a key of a ConfigMap or Secret."""
    complaints = _at_most(value, 253)
    if not _is_config_key(value):
        words = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        complaints.append(_expected(words, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    if value in (".", ".."):
        complaints.append(f"must not be '{value}'")
    elif value.startswith(".."):
        complaints.append("must not start with '..'")
    return complaints


def variable_complaints(value: str) -> list[str]:
    """Complain about the name of an environment variable."""
    if not value:
        return ["environment variable name must be non-empty"]
    if value.isascii() and value.isprintable() and "=" not in value:
        return []
    return ["a valid environment variable name must consist only of printable ASCII characters other than '='"]


def header_complaints(value: str) -> list[str]:
    """Complain about the name of an HTTP header."""
    words = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return [] if re.fullmatch(_HEADER, value) else [_expected(words, _HEADER, "X-Header-Name")]


def quantity_complaints(value: Any) -> list[str]:
    """Complain about a text that is no quantity or a negative one."""
    try:
        number = parse_quantity(str(value))
    except ValueError as error:
        return [str(error)]
    return ["must be greater than or equal to 0"] if number < 0 else []
