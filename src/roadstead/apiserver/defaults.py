"""Defaults: what Kubernetes fills in before it validates and stores an object.

Next: `validation` sees objects with their defaults.
"""

from roadstead.api.objects import Object
from roadstead.api.resources import Resource


def apply_defaults(resource: Resource, obj: Object) -> None:
    """Fill in the fields that the user left out, in place."""
