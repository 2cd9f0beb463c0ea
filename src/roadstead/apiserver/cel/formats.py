"""Formats, as rules ask for them: `format.dns1123Label().validate(self).hasValue()`.

After apiserver's pkg/cel/library/format.go; a format's complaints are optional: nothing if the text has the format.
"""

import base64
import binascii
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from roadstead.apiserver.cel.functions import NoOverload
from roadstead.apiserver.cel.optionals import NONE, Optional

Complain = Callable[[str], list[str]]
_UUID_LENGTH = 36


@dataclass(frozen=True, slots=True)
class Format:
    """What a text is to look like."""

    name: str
    complain: Complain


@cache
def formats() -> dict[str, Format]:
    """Return the formats that rules may name."""
    from roadstead.apiserver.validation import names  # it validates by rules, and so imports this package

    def prefix(complain: Complain) -> Complain:
        return lambda text: complain(f"{text[:-1]}a" if text.endswith("-") else text)

    found: dict[str, Complain] = {
        "dns1123Label": names.label_complaints,
        "dns1123LabelPrefix": prefix(names.label_complaints),
        "dns1123Subdomain": names.subdomain_complaints,
        "dns1123SubdomainPrefix": prefix(names.subdomain_complaints),
        "dns1035Label": names.service_name_complaints,
        "dns1035LabelPrefix": prefix(names.service_name_complaints),
        "qualifiedName": names.qualified_name_complaints,
        "labelValue": names.label_value_complaints,
        "uri": _told(_uri, "invalid URI for request"),
        "uuid": _told(_uuid, "does not match the UUID format"),
        "byte": _told(lambda text: base64.b64decode(text, validate=True), "invalid base64"),
        "date": _told(date.fromisoformat, "invalid date"),
        "datetime": _told(_datetime, "invalid datetime"),
    }
    return {name: Format(name, complain) for name, complain in found.items()}


def _told(parse: Callable[[str], object], complaint: str) -> Complain:
    def complain(text: str) -> list[str]:
        try:
            parse(text)
        except (ValueError, binascii.Error):
            return [complaint]
        return []

    return complain


def _uri(text: str) -> None:
    if not urlsplit(text).scheme and not text.startswith("/"):
        raise ValueError


def _uuid(text: str) -> None:
    if len(text) != _UUID_LENGTH:
        raise ValueError
    uuid.UUID(text)


def _datetime(text: str) -> None:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError


def format_named(name: Any) -> Optional:
    """Return the format of a name, if there is one."""
    found = formats().get(name) if isinstance(name, str) else None
    return Optional(found) if found is not None else NONE


def validate(wanted: Any, text: Any) -> Optional:
    """Return what a format has against a text, if anything. Raises NoOverload for what is neither."""
    if not isinstance(wanted, Format) or not isinstance(text, str):
        raise NoOverload
    found = wanted.complain(text)
    return Optional(found) if found else NONE


METHODS: dict[str, Callable[..., Any]] = {"validate": validate}
