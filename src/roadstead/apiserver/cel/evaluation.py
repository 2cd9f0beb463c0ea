"""The meaning of CEL: a tree becomes a function from variables to a value.

Errors count only where they matter: `false && ERROR` is false and `true || ERROR` is true, whichever side the error is
on. A field that is absent is an error unless `has()` asks for it. What takes longer with a larger object is paid for
from the evaluation's budget.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from roadstead.apiserver.cel import authorizer, formats, optionals, sets, texts
from roadstead.apiserver.cel.budget import CONSTANT_PATTERN, EVALUATION_LIMIT, Budget, call_cost, size_cost
from roadstead.apiserver.cel.functions import FUNCTIONS, METHODS, CelError, NoOverload, same
from roadstead.apiserver.cel.syntax import CelSyntaxError, Node, parse

Variables = Mapping[str, Any]
Evaluate = Callable[[Variables], Any]

_RESERVED = (
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
    "let", "loop", "package", "namespace", "return", "var", "void", "while",
)  # fmt: skip
_ESCAPES = {"__dot__": ".", "__dash__": "-", "__slash__": "/", "__underscores__": "__"}


_BUDGET = "(budget)"
"""The variable that no expression can name: the budget of the evaluation."""


class Program:
    """A compiled rule: call it with variables; `names` are the variables it may look at."""

    def __init__(self, evaluate: Evaluate, names: frozenset[str], weight: int) -> None:
        self._evaluate = evaluate
        self._weight = weight
        self.names = names

    def __call__(self, /, budget: Budget | None = None, **variables: Any) -> Any:
        """Return the value of the expression. Raises CelError, or CostExceeded if it costs more than the budget."""
        variables[_BUDGET] = budget = budget or Budget(EVALUATION_LIMIT)
        budget.charge(self._weight)
        try:
            return self._evaluate(variables)
        except (TypeError, ValueError, AttributeError, RecursionError, ArithmeticError) as error:
            raise NoOverload from error


OF_A_SCHEMA = frozenset({"self", "oldSelf"})
"""The variables that rules of schemas may name."""


def compile_rule(text: str, scope: frozenset[str] = OF_A_SCHEMA) -> Program:
    """Compile an expression over the variables of a scope. Raises CelSyntaxError for what is not understood."""
    names: set[str] = set()
    try:
        tree = parse(text)
        evaluate = _compile(tree, scope, names)
        return Program(evaluate, frozenset(names), _weight(tree))
    except RecursionError as error:
        raise CelSyntaxError("nested too deeply") from error


def _weight(node: Node) -> int:
    """Return how many steps an expression takes; those in the bodies of macros are counted where they are taken."""
    children = node.children[:1] if node.kind == "method" and node.value in _MACROS else node.children
    return 1 + sum(map(_weight, children))


def _compile(node: Node, scope: frozenset[str], names: set[str]) -> Evaluate:
    if node.kind == "literal":
        value = node.value
        return lambda variables: value
    if node.kind == "name":
        return _name(node.value, scope, names)
    if node.kind == "call" and node.value == "has":
        return _has(node, scope, names)
    if node.kind == "method" and node.value in _MACROS:
        return _macro(node, scope, names)
    if node.kind == "method" and node.value in ("optMap", "optFlatMap"):
        return _optional_map(node, scope, names)
    if node.kind == "method" and node.children[0] == _FORMATS:
        return _format(node, scope, names)
    if node.kind == "method" and node.children[0].kind == "name" and node.children[0].value in _LIBRARIES:
        return _call(node, tuple(_compile(child, scope, names) for child in node.children[1:]))
    children = tuple(_compile(child, scope, names) for child in node.children)
    if node.kind in ("call", "method"):
        return _call(node, children)
    return _BUILDERS[node.kind](node.value, children)


_FORMATS = Node("name", "format")


def _format(node: Node, scope: frozenset[str], names: set[str]) -> Evaluate:
    """`format.NAME()`, or `format.named(TEXT)`, which may be none."""
    if node.value == "named" and len(node.children) == 2:
        asked = _compile(node.children[1], scope, names)
        return lambda variables: formats.format_named(asked(variables))
    found = formats.formats().get(node.value)
    if found is None or len(node.children) != 1:
        raise CelSyntaxError(f"undeclared reference to 'format.{node.value}'")
    return lambda variables: found


def _name(name: str, scope: frozenset[str], names: set[str]) -> Evaluate:
    if name not in scope:
        raise CelSyntaxError(f"undeclared reference to '{name}'")
    names.add(name)

    def look_up(variables: Variables) -> Any:
        return variables[name]

    return look_up


def _field(name: str) -> str:
    """Return the field that an escaped name means: `__namespace__`, `x__dash__y`."""
    if name.startswith("__") and name.endswith("__") and name[2:-2] in _RESERVED:
        return name[2:-2]
    return re.sub("|".join(_ESCAPES), lambda match: _ESCAPES[match[0]], name)


def _has(node: Node, scope: frozenset[str], names: set[str]) -> Evaluate:
    if len(node.children) != 1 or node.children[0].kind != "select":
        raise CelSyntaxError("has() needs a field")
    parent, field = _compile(node.children[0].children[0], scope, names), _field(node.children[0].value)

    def has(variables: Variables) -> bool:
        obj = parent(variables)
        return isinstance(obj, dict) and field in obj

    return has


def _select(name: str, children: tuple[Evaluate, ...]) -> Evaluate:
    parent, field = children[0], _field(name)

    def select(variables: Variables) -> Any:
        obj = parent(variables)
        if isinstance(obj, optionals.Optional):
            return optionals.select(obj, field)
        if not isinstance(obj, dict) or field not in obj:
            raise CelError(f"no such key: {field}")
        return obj[field]

    return select


def _optional_select(name: str, children: tuple[Evaluate, ...]) -> Evaluate:
    parent, field = children[0], _field(name)
    return lambda variables: optionals.select(parent(variables), field)


def _optional_index(_: Any, children: tuple[Evaluate, ...]) -> Evaluate:
    container, key = children
    return lambda variables: optionals.select(container(variables), key(variables))


def _index(_: Any, children: tuple[Evaluate, ...]) -> Evaluate:
    container, key = children

    def index(variables: Variables) -> Any:
        found, at = container(variables), key(variables)
        if isinstance(found, optionals.Optional):
            return optionals.select(found, at)
        try:
            if isinstance(found, list) and at < 0:
                raise CelError("index out of bounds")
            return found[at]
        except (KeyError, IndexError) as error:
            raise CelError(f"no such key: {at}") from error

    return index


def _if(_: Any, children: tuple[Evaluate, ...]) -> Evaluate:
    condition, then, otherwise = children
    return lambda variables: then(variables) if _truth(condition(variables)) else otherwise(variables)


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise NoOverload


def _and_or(decisive: bool, children: tuple[Evaluate, ...]) -> Evaluate:
    left, right = children

    def decide(variables: Variables) -> bool:
        try:
            if _truth(left(variables)) is decisive:
                return decisive
        except (CelError, TypeError):
            if _truth(right(variables)) is decisive:
                return decisive
            raise
        return _truth(right(variables))

    return decide


def _same(left: Any, right: Any, budget: Budget) -> bool:
    if isinstance(left, list | dict) or isinstance(right, list | dict):
        return _same_entries(left, right, budget)
    if isinstance(left, str):
        budget.charge(size_cost(left))
    return same(left, right)


def _same_entries(left: Any, right: Any, budget: Budget) -> bool:
    if type(left) is not type(right) or len(left) != len(right):
        return False
    budget.charge(len(left))
    if isinstance(left, list):
        return all(_same(mine, other, budget) for mine, other in zip(left, right, strict=True))
    return left.keys() == right.keys() and all(_same(entry, right[key], budget) for key, entry in left.items())


def _contains(value: Any, container: Any, budget: Budget) -> bool:
    if isinstance(container, dict):
        return value in container
    if not isinstance(container, list):
        raise NoOverload
    budget.charge(len(container))
    return any(_same(value, entry, budget) for entry in container)


def _add(left: Any, right: Any, budget: Budget) -> Any:
    if isinstance(left, str | bytes | list):
        budget.charge(size_cost(left) + size_cost(right))
        return left + right
    return _number(left + right)


_LARGEST_INTEGER = 2**64


def _number(value: Any) -> Any:
    """Return a number if CEL has it: an integer of 64 bits."""
    if isinstance(value, int) and abs(value) >= _LARGEST_INTEGER:
        raise CelError("integer overflow")
    return value


def _multiply(left: Any, right: Any) -> Any:
    if isinstance(left, str | bytes | list) or isinstance(right, str | bytes | list):
        raise NoOverload  # Python repeats texts; CEL does not
    return _number(left * right)


def _divide(left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int):
        if not right:
            raise CelError("division by zero")
        quotient = abs(left) // abs(right)
        return quotient if (left < 0) is (right < 0) else -quotient
    if not right:  # as floating-point numbers have it, where Python refuses
        return math.copysign(math.inf, left) * math.copysign(1, right) if left else math.nan
    return left / right


def _remainder(left: int, right: int) -> int:
    return left - right * int(_divide(left, right))


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "-": lambda left, right: _number(left - right),
    "*": _multiply,
    "/": _divide,
    "%": _remainder,
}


_COSTLY: dict[str, Callable[[Any, Any, Budget], Any]] = {
    "==": _same,
    "!=": lambda left, right, budget: not _same(left, right, budget),
    "in": _contains,
    "+": _add,
}
"""Operators that take longer with larger values."""


def _binary(symbol: str, children: tuple[Evaluate, ...]) -> Evaluate:
    if symbol in ("&&", "||"):
        return _and_or(symbol == "||", children)
    left, right = children
    if symbol in _COSTLY:
        weigh = _COSTLY[symbol]
        return lambda variables: weigh(left(variables), right(variables), variables[_BUDGET])
    combine = _OPERATORS[symbol]
    return lambda variables: combine(left(variables), right(variables))


def _unary(symbol: str, children: tuple[Evaluate, ...]) -> Evaluate:
    operand = children[0]
    if symbol == "!":
        return lambda variables: not _truth(operand(variables))
    return lambda variables: -operand(variables)


def _call(node: Node, children: tuple[Evaluate, ...]) -> Evaluate:
    function = _function(node)
    if function is None:
        raise CelSyntaxError(f"undeclared reference to '{node.value}'")
    constant = node.value == "matches" and node.children[-1].kind == "literal"
    name = CONSTANT_PATTERN if constant else _full_name(node)

    def apply(variables: Variables) -> Any:
        arguments = tuple(child(variables) for child in children)
        variables[_BUDGET].charge(call_cost(name, arguments))
        return function(*arguments)

    return apply


_METHODS = {**METHODS, **authorizer.METHODS, **formats.METHODS, **optionals.METHODS, **texts.METHODS}
_LIBRARIES = {"optional": optionals.FUNCTIONS, "sets": sets.FUNCTIONS}
"""Names that are no variables, and what is called by them: `sets.contains(...)`."""


def _full_name(node: Node) -> str:
    """Return the name of a function, with that of its library if it has one."""
    owner = node.children[0] if node.kind == "method" else None
    in_library = owner is not None and owner.kind == "name" and owner.value in _LIBRARIES
    return f"{owner.value}.{node.value}" if owner is not None and in_library else str(node.value)


def _function(node: Node) -> Callable[..., Any] | None:
    if node.kind == "call":
        return FUNCTIONS.get(node.value)
    library = _LIBRARIES.get(node.children[0].value) if node.children[0].kind == "name" else None
    return (_METHODS if library is None else library).get(node.value)


def _list(_: Any, children: tuple[Evaluate, ...]) -> Evaluate:
    return lambda variables: [child(variables) for child in children]


def _map(_: Any, children: tuple[Evaluate, ...]) -> Evaluate:
    return lambda variables: dict(child(variables) for child in children)


def _entry(_: Any, children: tuple[Evaluate, ...]) -> Evaluate:
    key, value = children
    return lambda variables: (key(variables), value(variables))


_BUILDERS: dict[str, Callable[[Any, tuple[Evaluate, ...]], Evaluate]] = {
    "binary": _binary,
    "entry": _entry,
    "if": _if,
    "index": _index,
    "list": _list,
    "map": _map,
    "optional index": _optional_index,
    "optional select": _optional_select,
    "select": _select,
    "unary": _unary,
}


# Macros: a variable that takes every entry of a list, or every key of a map.

Each = Callable[[Any], Any]


def _all(entries: list[Any], holds: Each) -> bool:
    """Say whether a predicate holds for all; an error counts only if none is false."""
    return not _exists(entries, lambda entry: not _truth(holds(entry)))


def _exists(entries: list[Any], holds: Each) -> bool:
    failure: CelError | TypeError | None = None
    for entry in entries:
        try:
            if _truth(holds(entry)):
                return True
        except (CelError, TypeError) as error:
            failure = error
    if failure is not None:
        raise failure
    return False


def _exists_one(entries: list[Any], holds: Each) -> bool:
    return sum(_truth(holds(entry)) for entry in entries) == 1


def _filter(entries: list[Any], holds: Each) -> list[Any]:
    return [entry for entry in entries if _truth(holds(entry))]


def _transform(entries: list[Any], make: Each) -> list[Any]:
    return [make(entry) for entry in entries]


_MACROS: dict[str, Callable[[list[Any], Each], Any]] = {
    "all": _all,
    "exists": _exists,
    "exists_one": _exists_one,
    "filter": _filter,
    "map": _transform,
}


def _macro(node: Node, scope: frozenset[str], names: set[str]) -> Evaluate:
    target, *arguments = node.children
    if len(arguments) == 3 and node.value == "map":
        kept = Node("method", "filter", (target, arguments[0], arguments[1]))
        return _macro(Node("method", "map", (kept, arguments[0], arguments[2])), scope, names)
    if len(arguments) != 2 or arguments[0].kind != "name":
        raise CelSyntaxError(f"{node.value}() needs a variable and an expression")
    name = arguments[0].value
    container = _compile(target, scope, names)
    body = _compile(arguments[1], scope | {name}, names)
    apply = _MACROS[node.value]
    weight = _weight(arguments[1])

    def evaluate(variables: Variables) -> Any:
        inner = dict(variables)
        charge = variables[_BUDGET].charge

        def each(entry: Any) -> Any:
            charge(weight)
            inner[name] = entry
            return body(inner)

        return apply(_entries(container(variables)), each)

    return evaluate


def _optional_map(node: Node, scope: frozenset[str], names: set[str]) -> Evaluate:
    """`x.optMap(v, expression)`: the expression's value for a value that is there, as an optional value again."""
    target, *arguments = node.children
    if len(arguments) != 2 or arguments[0].kind != "name":
        raise CelSyntaxError(f"{node.value}() needs a variable and an expression")
    name, wrapped = arguments[0].value, node.value == "optMap"
    found = _compile(target, scope, names)
    body = _compile(arguments[1], scope | {name}, names)

    def evaluate(variables: Variables) -> Any:
        optional = found(variables)
        if not optionals.has_value(optional):
            return optional
        value = body({**variables, name: optional.value})
        return optionals.Optional(value) if wrapped else value

    return evaluate


def _entries(container: Any) -> list[Any]:
    if isinstance(container, list | dict):
        return list(container)
    raise NoOverload
