"""How a Gateway's Envoys are run: a ConfigMap that its GatewayClass or the Gateway itself names (`parametersRef`).

A class's parameters hold for all its Gateways; a Gateway's own go before them, key by key. What is not stated is as for
every proxy. A key that nobody knows or a value that means nothing makes the Gateway `InvalidParameters`, and its
Deployment then stays as it is: a mistyped number of replicas must not end Envoys. This table is all the keys there are;
docs/gateway.md describes each, and a test compares the two.
"""

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import yaml

from roadstead.api.objects import ObjectKey
from roadstead.api.quantities import parse_quantity
from roadstead.gateway.ir import Parameters
from roadstead.gateway.resources import Resources
from roadstead.gateway.translate.fields import mapping, spec_of, text
from roadstead.gateway.translate.problem import Problem, joined
from roadstead.lib.yaml_depth import load_yaml

_REASON = "InvalidParameters"
_LONGEST_VALUE = 65_536
_NUMBER = re.compile(r"[0-9]{1,6}")
_WORDS = {"true": True, "false": False}
_LEVELS = ("trace", "debug", "info", "warning", "error", "critical", "off")


def _number(least: int, most: int) -> Callable[[str], int | None]:
    def read(value: str) -> int | None:
        number = int(value) if _NUMBER.fullmatch(value) else -1
        return number if least <= number <= most else None

    return read


def _word(value: str) -> str | None:
    return value if re.fullmatch(r"\S{1,255}", value) else None


def _requirements(value: str) -> str | None:
    """Return `resources` of a container, if its quantities are some and no request is above its limit."""
    stated = _loaded(value)
    if not isinstance(stated, dict) or stated.keys() - {"limits", "requests"}:
        return None
    limits, requests = _quantities(stated.get("limits")), _quantities(stated.get("requests"))
    if limits is None or requests is None or any(requests[name] > limits[name] for name in requests.keys() & limits):
        return None
    return _dumped(stated)


def _quantities(stated: Any) -> dict[str, Any] | None:
    """Return the amounts by resource, or None where something is not an amount."""
    if stated is None:
        return {}
    try:
        found = {name: parse_quantity(str(amount)) for name, amount in stated.items() if isinstance(name, str)}
    except (AttributeError, ValueError):
        return None
    return found if len(found) == len(stated) and all(amount >= 0 for amount in found.values()) else None


def _object_of_texts(value: str) -> str | None:
    stated = _loaded(value)
    fits = isinstance(stated, dict) and all(isinstance(each, str) for pair in stated.items() for each in pair)
    return _dumped(stated) if fits else None


def _object(value: str) -> str | None:
    stated = _loaded(value)
    return _dumped(stated) if isinstance(stated, dict) else None


def _objects(value: str) -> str | None:
    stated = _loaded(value)
    return _dumped(stated) if isinstance(stated, list) and all(isinstance(each, dict) for each in stated) else None


def _loaded(value: str) -> Any:
    """Return what a YAML text means; None for one that is none, or that is too long to be looked at."""
    try:
        return load_yaml(value) if len(value) <= _LONGEST_VALUE else None
    except (yaml.YAMLError, ValueError):
        return None


def _dumped(stated: Any) -> str | None:
    """Return JSON that is equal for equal values, or None for what JSON has no words for, such as dates."""
    try:
        return json.dumps(stated, sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        return None


class Parameter(NamedTuple):
    """One key: `read` returns its value for the field of `ir.Parameters`, None if that is not what is `expected`.

    Keys of the field `scheduling` are fields of the pod and stand beside each other.
    """

    key: str
    field: str
    read: Callable[[str], Any]
    expected: str


PARAMETERS = (
    Parameter("replicas", "replicas", _number(0, 1000), "a number from 0 to 1000"),
    Parameter("resources", "resources", _requirements, "limits and requests of a container, as YAML"),
    Parameter("concurrency", "concurrency", _number(1, 1024), "a number of threads from 1 to 1024"),
    Parameter("drainSeconds", "drain_seconds", _number(5, 86_400), "a number of seconds from 5 to 86400"),
    Parameter("accessLog", "access_log", _WORDS.get, "true or false"),
    Parameter(
        "logLevel", "log_level", lambda value: value if value in _LEVELS else None, f"one of {', '.join(_LEVELS)}"
    ),
    Parameter("image", "image", _word, "the name of an image"),
    Parameter("nodeSelector", "scheduling", _object_of_texts, "labels of nodes, as YAML"),
    Parameter("tolerations", "scheduling", _objects, "a list of tolerations, as YAML"),
    Parameter("affinity", "scheduling", _object, "an affinity, as YAML"),
    Parameter("topologySpreadConstraints", "scheduling", _objects, "a list of constraints, as YAML"),
    Parameter("priorityClassName", "scheduling", _word, "the name of a PriorityClass"),
)
"""Every key, in the order of docs/gateway.md."""

_BY_KEY = {one.key: one for one in PARAMETERS}


class Stated(NamedTuple):
    """What a ConfigMap says, by key, and what is wrong with it."""

    values: Mapping[str, Any] = {}
    problem: Problem | None = None


def class_parameters(gateway_class: Mapping[str, Any], resources: Resources) -> Stated:
    """Return what the ConfigMap says that a GatewayClass names."""
    reference = mapping(spec_of(gateway_class).get("parametersRef"))
    return _stated("spec.parametersRef", reference, text(reference.get("namespace")), resources)


def gateway_parameters(gateway: Mapping[str, Any], namespace: str, resources: Resources) -> Stated:
    """Return what the ConfigMap says that a Gateway names; it is in the Gateway's namespace."""
    reference = mapping(mapping(spec_of(gateway).get("infrastructure")).get("parametersRef"))
    return _stated("spec.infrastructure.parametersRef", reference, namespace, resources)


def parameters_of(gateway: Mapping[str, Any], namespace: str, resources: Resources) -> Parameters | Problem:
    """Return how the Envoys of a Gateway are run, or why that cannot be said."""
    class_name = text(spec_of(gateway).get("gatewayClassName"))
    found = resources.gateway_classes.get(ObjectKey("", class_name), {})
    of_class, own = class_parameters(found, resources), gateway_parameters(gateway, namespace, resources)
    if of_class.problem:
        return Problem(_REASON, f"GatewayClass {class_name}: {of_class.problem.message}")
    return own.problem or _parameters({**of_class.values, **own.values})


def _parameters(values: Mapping[str, Any]) -> Parameters:
    plain = {_BY_KEY[key].field: value for key, value in values.items() if _BY_KEY[key].field != "scheduling"}
    scheduling = tuple(sorted((key, value) for key, value in values.items() if _BY_KEY[key].field == "scheduling"))
    return Parameters(**plain, scheduling=scheduling)


def _stated(field: str, reference: Mapping[str, Any], namespace: str, resources: Resources) -> Stated:
    if not reference:
        return Stated()
    group, kind, name = (text(reference.get(each)) for each in ("group", "kind", "name"))
    if (group, kind) != ("", "ConfigMap"):
        return Stated(
            {}, Problem(_REASON, f"{field}: {kind} {name} is not a kind that Roadstead reads; use a ConfigMap")
        )
    found = resources.config_maps.get(ObjectKey(namespace, name))
    if found is None:
        return Stated({}, Problem(_REASON, f"{field}: ConfigMap {namespace}/{name} does not exist"))
    return _read(f"ConfigMap {namespace}/{name}", mapping(found.get("data")))


def _read(where: str, stated: Mapping[str, Any]) -> Stated:
    values = {key: _BY_KEY[key].read(text(value).strip()) for key, value in stated.items() if key in _BY_KEY}
    wrong = [key for key in sorted(stated) if values.get(key) is None]
    return Stated(
        {key: value for key, value in values.items() if value is not None},
        joined([Problem(_REASON, f"{where}: {message}") for message in _messages(wrong, stated)]),
    )


def _messages(wrong: Iterable[str], stated: Mapping[str, Any]) -> Iterable[str]:
    for key in wrong:
        if key in _BY_KEY:
            yield f"data.{key}: {text(stated[key])[:100]!r} is not {_BY_KEY[key].expected}"
        else:
            close = difflib.get_close_matches(key, _BY_KEY, n=1)
            remedy = f"did you mean {close[0]}?" if close else f"there are {', '.join(_BY_KEY)}"
            yield f"data.{key}: there is no such parameter; {remedy}"
