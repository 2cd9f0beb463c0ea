"""The one entry: judge Gateways, then routes, let them meet, and say what comes of it, all at once.

Who translates again and again keeps a `Translator`, which makes anew only what follows from what has changed; the two
always agree (a property test says so).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from roadstead.gateway.ir import Proxies
from roadstead.gateway.resources import Resources
from roadstead.gateway.statuses import StatusUpdate
from roadstead.gateway.translate.notices import Notice
from roadstead.gateway.translate.reads import Changes
from roadstead.gateway.translate.translator import Translator


@dataclass(frozen=True, slots=True)
class Translation:
    """What every proxy does, by its key, what every status says, and what is to be told besides."""

    proxies: Proxies = field(default_factory=dict)
    statuses: tuple[StatusUpdate, ...] = ()
    notices: tuple[Notice, ...] = ()


def translate(resources: Resources) -> Translation:
    """Translate all Gateways, routes and Ingresses. Never raises on what a user wrote."""
    translator = Translator()
    translator.advance(resources, everything(resources))
    statuses = (update for updates in translator.statuses().values() for update in updates)
    return Translation(translator.proxies, tuple(statuses), translator.notices)


def everything(resources: Resources) -> Changes:
    """Return the changes after which all that there is is new."""
    found = {each.name: getattr(resources, each.name) for each in fields(resources)}
    return {name: value.keys() for name, value in found.items() if isinstance(value, Mapping) and value}
