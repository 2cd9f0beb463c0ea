"""What every part of the IR (`ir`) is."""

import msgspec


class Part(msgspec.Struct, frozen=True, omit_defaults=True, cache_hash=True):
    """Base of every part of the IR: frozen, and quiet about fields at their default when written to a file."""
