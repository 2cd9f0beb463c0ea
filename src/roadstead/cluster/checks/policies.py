"""Policies of services in ConfigMaps and Secrets: can they be read, and do the methods and fields exist that they name?

A service refuses a broken policy and keeps the old one, and a method that nobody has is denied to everybody: both are
better known before. What a service has is read from descriptors (`descriptors.py`).
"""

import base64
import binascii
import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from yaml.constructor import SafeConstructor

from roadstead.cluster.checks.condition_values import impossible, written
from roadstead.cluster.checks.finding import Checked, Finding, Severity
from roadstead.cluster.descriptors import Fields, Services, Values
from roadstead.lib.yaml_depth import load_yaml
from roadstead.service.policy import METHOD, SECTIONS, PolicyError, parse_policy

KEY = "policy.yaml"
# They are part of every server and in nobody's descriptors.
_BUILT_IN = {
    "grpc.health.v1.Health": ("Check", "List", "Watch"),
    "grpc.reflection.v1.ServerReflection": ("ServerReflectionInfo",),
    "grpc.reflection.v1alpha.ServerReflection": ("ServerReflectionInfo",),
}
# What a condition can compare: everything but messages, groups and bytes.
_COMPARED = frozenset(FieldDescriptorProto.Type.values()) - {
    FieldDescriptorProto.TYPE_MESSAGE,
    FieldDescriptorProto.TYPE_GROUP,
    FieldDescriptorProto.TYPE_BYTES,
}
_OTHER = {True: "no message", False: "a message or bytes"}
_Found = tuple[int, Severity, str]


def check_policies(objects: Iterable[Checked], services: Services | None) -> Iterator[Finding]:
    """Yield what is wrong with each policy: what stands under a key `policy.yaml` or `…-policy.yaml`, if it is one.

    Without `services`, methods and fields are not looked up.
    """
    for one in objects:
        if one.kind in ("ConfigMap", "Secret"):
            for field, text in _texts(one):
                if field.endswith(KEY) and _is_policy(text):
                    yield from _findings(text, services, _place_in(one, field))


def _texts(one: Checked) -> Iterator[tuple[str, str]]:
    """Yield the values of an object as a pod finds them, with the field in which they stand in the manifest."""
    given = one.document.object
    for field in ("stringData", "data"):
        for name, value in (given.get(field) or {}).items():
            decode = field == "data" and one.kind == "Secret"
            text = _decoded(value) if decode else value
            if isinstance(text, str):
                yield f"{field}.{name}", text


def _decoded(value: Any) -> str | None:
    try:
        return base64.b64decode(str(value), validate=True).decode()
    except (binascii.Error, ValueError):
        return None


def _is_policy(text: str) -> bool:
    """Tell a service's policy from another program's file of that name. What is no YAML is taken for one."""
    try:
        document = load_yaml(text)
    except (yaml.YAMLError, ValueError):
        return True
    return isinstance(document, dict) and any(section in document for section in SECTIONS)


_Place = Callable[[int, Severity, str], Finding]


def check_policy_file(path: Path, text: str, services: Services | None) -> list[Finding]:
    """Return what is wrong with a policy that is a file of its own."""
    found = _findings(text, services, lambda line, severity, said: Finding(path, line, severity, "", "", said))
    return sorted(found, key=lambda one: one.line)


def is_policy_file(path: Path) -> bool:
    """Tell whether a file is a policy, and no manifest."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return path.name.endswith(KEY) and _is_policy(text) and "apiVersion:" not in text


def _place_in(one: Checked, field: str) -> _Place:
    """Return what makes findings of lines of a policy; the lines are the manifest's if it has the text as it is."""
    section, _, name = field.partition(".")
    first = one.document.first_line(section, name)

    def finding(line: int, severity: Severity, message: str) -> Finding:
        found = one.finding(field, message, severity)
        return found if first is None else found._replace(line=first + line - 1)

    return finding


def _findings(text: str, services: Services | None, finding: _Place) -> Iterator[Finding]:
    """Yield what is wrong; if it cannot be read, that alone."""
    try:
        parse_policy(text)
    except PolicyError as error:
        node = None if error.line else yaml.compose(text, yaml.SafeLoader)
        for fault in error.faults:
            line = error.line or _line_at(node, fault.partition(": ")[0])
            # A message of YAML's own goes over several lines.
            yield finding(line, "error", " ".join(fault.split()))
        return
    node = yaml.compose(text, yaml.SafeLoader)
    if node is not None and services is not None:
        for line, severity, message in (*_of_methods(node, services), *_of_fields(node, services)):
            yield finding(line, severity, message)


def _of_methods(node: yaml.Node, services: Services) -> Iterator[_Found]:
    unknown: dict[str, int] = {}
    for pattern, line in _methods(node):
        service = pattern.partition("/")[0]
        if service not in services.methods and service not in _BUILT_IN:
            unknown.setdefault(service, line)
        elif message := _missing(pattern, services):
            yield line, "error", message
    for service, line in unknown.items():
        yield (line, *_unknown_service(service, services.methods))


def _of_fields(node: yaml.Node, services: Services) -> Iterator[_Found]:
    found = (each for one in _comparisons(node) for pattern in one.patterns for each in _judged(one, pattern, services))
    yield from dict.fromkeys(found)  # methods with one type of request have the same faults


class _Comparison(NamedTuple):
    """A field of requests and what a rule compares it with; `place` names the rule, `line` is the field's."""

    place: str
    patterns: tuple[str, ...]
    path: str
    line: int
    values: tuple[yaml.Node, ...]


def _judged(one: _Comparison, pattern: str, services: Services) -> Iterator[_Found]:
    """Yield what is wrong for the methods that a pattern covers: what is so for each of them."""
    found = [_field_at(message, one.path, services) for message in _requests(pattern, services)]
    if not found or any(each is None for each in found):
        return  # of types that were not found nothing can be said
    fields = [each for each in found if isinstance(each, _Field)]
    if not fields:
        nowhere = f"no request of {pattern.partition('/')[0]} has a field {one.path} that a condition matches"
        yield one.line, "error", str(found[0]) if len(found) == 1 else nowhere
        return
    for node in one.values:
        value = SafeConstructor().construct_object(node)
        reasons = [(field, impossible(field.descriptor, value, services.enumerations)) for field in fields]
        if all(reason for _, reason in reasons):
            field, reason = reasons[0]
            said = f"{written(value)} is no value of {field.descriptor.name} of {field.message}, which is {reason}"
            near = _instead(value, _names_of(field, services)) if isinstance(value, str) else ""
            yield node.start_mark.line + 1, "error", f"{one.place}: {said}{near}"


def _methods(node: yaml.Node) -> Iterator[tuple[str, int]]:
    """Yield the methods that a policy names, with their lines."""
    for section, value in _entries(node):
        if section in ("anonymous", "roles"):
            yield from _named(value)


def _named(node: yaml.Node) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.ScalarNode) and METHOD.fullmatch(node.value):
        yield node.value, node.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for each in node.value:
            yield from _named(each)
    for key, value in _entries(node):
        if key != "when":
            yield from _named(value)


def _comparisons(node: yaml.Node) -> Iterator[_Comparison]:
    for section, roles in _entries(node):
        for role, rules in _entries(roles) if section == "roles" else ():
            for number, rule in enumerate(rules.value if isinstance(rules, yaml.SequenceNode) else ()):
                parts = dict(_entries(rule))
                if "methods" in parts and "when" in parts:
                    patterns = tuple(pattern for pattern, _ in _named(parts["methods"]))
                    for key, value in _request_fields(parts["when"]):
                        place = f"roles.{role}[{number}].when.request.{key.value}"
                        values = tuple(value.value) if isinstance(value, yaml.SequenceNode) else (value,)
                        yield _Comparison(place, patterns, key.value, key.start_mark.line + 1, values)


def _request_fields(when: yaml.Node) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    for part, wanted in _entries(when):
        if part == "request" and isinstance(wanted, yaml.MappingNode):
            yield from wanted.value


def _entries(node: yaml.Node) -> Iterator[tuple[str, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield key.value, value


def _line_at(node: yaml.Node | None, place: str) -> int:
    """Return the line of the deepest part of a place (`roles.viewer[0].when`) that is there."""
    line = 1
    steps = place.replace("[", ".[").split(".")
    while node is not None and steps:
        step, following = steps.pop(0), None
        if step.startswith("[") and isinstance(node, yaml.SequenceNode):
            following = node.value[int(step[1:-1])]
            line = following.start_mark.line + 1
        elif isinstance(node, yaml.MappingNode):
            key, following = next(((key, value) for key, value in node.value if key.value == step), (None, None))
            line = line if key is None else key.start_mark.line + 1
        node = following
    return line


def _missing(pattern: str, services: Services) -> str:
    """Return what is wrong with a method of a known service; "" if it is there."""
    service, _, method = pattern.partition("/")
    known = services.methods.get(service) or _BUILT_IN.get(service, ())
    if method == "*" or method in known:
        return ""
    return f"{service} has no method {method}{_instead(method, known)}"


def _unknown_service(service: str, known: Mapping[str, Any]) -> tuple[Severity, str]:
    if near := _instead(service, known):
        return "error", f"there is no service {service}{near}"
    if known:
        return "warning", f"there is no service {service} in the descriptors that were found; is it spelt like that?"
    return "warning", f"the methods of {service} were not looked up: no .proto, *_pb2.py or descriptor set was found"


class _Field(NamedTuple):
    """A field that can be compared, and the message that it is a field of."""

    message: str
    descriptor: FieldDescriptorProto


def _requests(pattern: str, services: Services) -> tuple[str, ...]:
    """Return the types of the requests of the methods that a pattern covers, each once; "" is one that is not known."""
    service, _, method = pattern.partition("/")
    known = services.methods.get(service, {})
    return tuple(dict.fromkeys(known.values())) if method == "*" else (known.get(method, ""),)


def _field_at(message: str, path: str, services: Services) -> _Field | str | None:
    """Return the field at a path, what is wrong with it, or None if a type on the way was not found."""
    *parents, last = path.split(".")
    for name in parents:
        fields = services.messages.get(message)
        if fields is None:
            return None
        if wrong := _wrong_field(message, name, fields, (FieldDescriptorProto.TYPE_MESSAGE,)):
            return wrong
        message = fields[name].type_name.removeprefix(".")
    fields = services.messages.get(message)
    if fields is None:
        return None
    return _wrong_field(message, last, fields, _COMPARED) or _Field(message, fields[last])


def _names_of(field: _Field, services: Services) -> Values:
    return services.enumerations.get(field.descriptor.type_name.removeprefix("."), {})


def _wrong_field(message: str, name: str, fields: Fields, kinds: Collection[int]) -> str:
    field = fields.get(name)
    if field is None:
        return f"{message} has no field {name}{_instead(name, fields)}"
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"{name} of {message} is a list or a map, which no condition matches"
    if field.type not in kinds:
        return f"{name} of {message} is {_OTHER[len(kinds) == 1]}, so this condition matches nothing"
    return ""


def _instead(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""
