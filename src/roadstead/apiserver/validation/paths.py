"""Paths inside something: a volume, a directory of profiles."""

from roadstead.apiserver import causes
from roadstead.apiserver.causes import Causes


def local_path(value: str, field: str) -> Causes:
    """Return what is wrong with a path that must stay below where it starts."""
    found = [causes.invalid(field, value, "must be a relative path")] if value.startswith("/") else []
    return found + no_backsteps(value, field)


def no_backsteps(value: str, field: str) -> Causes:
    """Return a cause for a path with a step back."""
    return [causes.invalid(field, value, "must not contain '..'")] if ".." in value.split("/") else []


def file_path(value: str, field: str) -> Causes:
    """Return what is wrong with the path of a file in a volume, where names with two dots are the kubelet's."""
    found = local_path(value, field)
    if value.startswith("..") and not value.startswith("../"):
        found.append(causes.invalid(field, value, "must not start with '..'"))
    return found
