"""What a write left as it was: parts of an object that need no second look.

A part is what stands beside `metadata`: `spec`, `status`, `data` and the like. Most writes change one of them, often
the smallest; to check and complete only that one saves a third of a write. Next: `admission.defaults` and `validation`
look at what is fresh.
"""

from roadstead.api.objects import Object, ReadOnlyObject


def keep_equal_parts(changed: Object, stored: ReadOnlyObject) -> None:
    """Put the stored object's own parts where a changed object has equal ones, so that `fresh` tells them apart.

    For Python `True` equals 1 and 1.0: so it is the stored part that is kept, whose types were checked.
    """
    for field, value in changed.items():
        if field in stored and value == stored[field]:
            changed[field] = stored[field]


def fresh(obj: ReadOnlyObject, stored: ReadOnlyObject | None) -> Object:
    """Return the parts of an object that are not the stored object's own: those that nobody has checked yet."""
    if stored is None:
        return dict(obj)
    return {field: value for field, value in obj.items() if value is not stored.get(field)}
