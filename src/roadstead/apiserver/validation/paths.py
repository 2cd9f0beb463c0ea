"""Paths inside something: a volume, a directory of profiles."""

from roadstead.apiserver import causes
from roadstead.apiserver.causes import Causes


def local_path(value: str, field: str) -> Causes:
    """Return what is wrong with a path that must stay below where it starts."""
    found: Causes = []
    if value.startswith("/"):
        found.append(causes.invalid(field, value, "must be a relative path"))
    if ".." in value.split("/"):
        found.append(causes.invalid(field, value, "must not contain '..'"))
    return found
