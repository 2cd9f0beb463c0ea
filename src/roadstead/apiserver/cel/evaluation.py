"""The meaning of CEL: a tree becomes a function from variables to a value.

Errors count only where they matter: `false && ERROR` is false and `true || ERROR` is true, whichever side the error is
on. A field that is absent is an error unless `has()` asks for it. What takes longer with a larger object is paid for
from the evaluation's budget.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from roadstead.apiserver.cel import formats, libraries, macros, operators, optionals
from roadstead.apiserver.cel.budget import EVALUATION_LIMIT, Budget, call_cost, with_constant_pattern
from roadstead.apiserver.cel.functions import CelError, NoOverload
from roadstead.apiserver.cel.kinds import KINDS, Kind
from roadstead.apiserver.cel.operators import truth
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
    children = node.children[:1] if _macro_of(node) is not None else node.children
    return 1 + sum(map(_weight, children))


def _macro_of(node: Node) -> macros.Macro | None:
    """Return the macro that a node calls, if it does."""
    return macros.MACROS.get((node.value, len(node.children) - 1)) if node.kind == "method" else None


def _compile(node: Node, scope: frozenset[str], names: set[str]) -> Evaluate:
    if node.kind == "literal":
        value = node.value
        return lambda variables: value
    special = _SPECIAL.get(node.kind) or (_SPECIAL_METHODS.get(node.value) if node.kind == "method" else None)
    if special is not None:
        return special(node, scope, names)
    if node.kind == "call" and node.value == "has":
        return _has(node, scope, names)
    if node.kind == "method" and node.children[0] == _FORMATS and "format" not in scope:
        return _format(node, scope, names)
    if node.kind == "method" and _qualified(node) is not None:
        return _call(node, tuple(_compile(child, scope, names) for child in node.children[1:]))
    kind = KINDS.get(_dotted(node)) if node.kind == "select" else None
    if kind is not None:
        return lambda variables: kind
    children = tuple(_compile(child, scope, names) for child in node.children)
    if node.kind in ("call", "method"):
        return _call(node, children)
    return _BUILDERS[node.kind](node.value, children)


def _dotted(node: Node) -> str:
    """Return a chain of names as it is written: `google.protobuf.Timestamp`."""
    if node.kind == "select":
        return f"{_dotted(node.children[0])}.{node.value}"
    return str(node.value) if node.kind == "name" else ""


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


def _name(node: Node, scope: frozenset[str], names: set[str]) -> Evaluate:
    name = node.value
    if name in KINDS and name not in scope:
        kind: Kind = KINDS[name]
        return lambda variables: kind
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
        return field in obj if isinstance(obj, dict) else optionals.has_value(optionals.select(obj, field))

    return has


def _select(name: str, children: tuple[Evaluate, ...]) -> Evaluate:
    parent, field = children[0], _field(name)

    def select(variables: Variables) -> Any:
        obj = parent(variables)
        # Most of what rules do, and so without a detour.
        return obj[field] if isinstance(obj, dict) and field in obj else _found(obj, field)

    return select


def _found(container: Any, key: Any) -> Any:
    """Return an entry of a map or a list; of an optional one, an optional entry. Raises CelError if it is absent."""
    if type(container) is list and type(key) is int and 0 <= key < len(container):
        return container[key]
    found = optionals.select(container, key)
    if isinstance(container, optionals.Optional):
        return found
    if not optionals.has_value(found):
        raise CelError(f"{'index out of bounds' if isinstance(container, list) else 'no such key'}: {key}")
    return found.value


def _optional_select(name: str, children: tuple[Evaluate, ...]) -> Evaluate:
    parent, field = children[0], _field(name)
    return lambda variables: optionals.select(parent(variables), field)


def _optional_index(_: Any, children: tuple[Evaluate, ...]) -> Evaluate:
    container, key = children
    return lambda variables: optionals.select(container(variables), key(variables))


def _index(_: Any, children: tuple[Evaluate, ...]) -> Evaluate:
    container, key = children
    return lambda variables: _found(container(variables), key(variables))


def _if(_: Any, children: tuple[Evaluate, ...]) -> Evaluate:
    condition, then, otherwise = children
    return lambda variables: then(variables) if truth(condition(variables)) else otherwise(variables)


def _and_or(decisive: bool, children: tuple[Evaluate, ...]) -> Evaluate:
    left, right = children

    def decide(variables: Variables) -> bool:
        try:
            if truth(left(variables)) is decisive:
                return decisive
        except (CelError, TypeError):
            if truth(right(variables)) is decisive:
                return decisive
            raise
        return truth(right(variables))

    return decide


def _binary(symbol: str, children: tuple[Evaluate, ...]) -> Evaluate:
    if symbol in ("&&", "||"):
        return _and_or(symbol == "||", children)
    left, right = children
    if symbol in operators.COSTLY:
        weigh = operators.COSTLY[symbol]
        return lambda variables: weigh(left(variables), right(variables), variables[_BUDGET])
    combine = operators.PLAIN[symbol]
    return lambda variables: combine(left(variables), right(variables))


def _unary(symbol: str, children: tuple[Evaluate, ...]) -> Evaluate:
    operand = children[0]
    if symbol == "!":
        return lambda variables: not truth(operand(variables))
    return lambda variables: operators.negative(operand(variables))


def _call(node: Node, children: tuple[Evaluate, ...]) -> Evaluate:
    qualified = _qualified(node)
    table = libraries.METHODS if node.kind == "method" and qualified is None else libraries.FUNCTIONS
    function = table.get(qualified or node.value)
    if function is None:
        raise CelSyntaxError(f"undeclared reference to '{node.value}'")
    name = with_constant_pattern(node.value) if _has_constant_pattern(node) else str(qualified or node.value)

    def apply(variables: Variables) -> Any:
        arguments = tuple(child(variables) for child in children)
        variables[_BUDGET].charge(call_cost(name, arguments))
        return function(*arguments)

    return apply


def _has_constant_pattern(node: Node) -> bool:
    patterns = node.children[1:2] if node.value in ("find", "findAll", "matches") else ()
    return any(pattern.kind == "literal" for pattern in patterns)


def _qualified(node: Node) -> str | None:
    """Return the name of a library's function, if a node calls one: `sets.contains`."""
    owner = node.children[0] if node.kind == "method" else None
    name = f"{owner.value}.{node.value}" if owner is not None and owner.kind == "name" else ""
    return name if name in libraries.FUNCTIONS else None


def _list(node: Node, scope: frozenset[str], names: set[str]) -> Evaluate:
    """`[a, ?b]`: an optional entry that is absent is left out."""
    optional = [child.kind == "optional element" for child in node.children]
    children = [
        _compile(child.children[0] if left_out else child, scope, names)
        for child, left_out in zip(node.children, optional, strict=True)
    ]
    if not any(optional):
        return lambda variables: [child(variables) for child in children]

    def make(variables: Variables) -> list[Any]:
        found = ((child(variables), left_out) for child, left_out in zip(children, optional, strict=True))
        return [
            optionals.value(entry) if left_out else entry
            for entry, left_out in found
            if not left_out or optionals.has_value(entry)
        ]

    return make


def _map(node: Node, scope: frozenset[str], names: set[str]) -> Evaluate:
    """`{'a': a, ?'b': b}`: an optional entry that is absent is left out."""
    children = [
        (_compile(key, scope, names), _compile(value, scope, names), entry.kind == "optional entry")
        for entry in node.children
        for key, value in (entry.children,)
    ]

    def make(variables: Variables) -> dict[Any, Any]:
        made = {}
        for key, value, left_out in children:
            name, entry = key(variables), value(variables)
            if not left_out:
                made[name] = entry
            elif optionals.has_value(entry):
                made[name] = entry.value
        return made

    return make


_BUILDERS: dict[str, Callable[[Any, tuple[Evaluate, ...]], Evaluate]] = {
    "binary": _binary,
    "if": _if,
    "index": _index,
    "optional index": _optional_index,
    "optional select": _optional_select,
    "select": _select,
    "unary": _unary,
}


def _variable(node: Node, macro: str) -> str:
    if node.kind != "name":
        raise CelSyntaxError(f"{macro}() needs a variable and an expression")
    return str(node.value)


def _macro(node: Node, scope: frozenset[str], names: set[str]) -> Evaluate:
    macro = _macro_of(node)
    if macro is None:
        raise CelSyntaxError(f"{node.value}() needs a variable and an expression")
    target, *arguments = node.children
    bound = tuple(_variable(argument, node.value) for argument in arguments[: macro.variables])
    if len(set(bound)) < len(bound):
        raise CelSyntaxError(f"{node.value}() needs variables that differ")
    container = _compile(target, scope, names)
    inner_scope = scope | frozenset(bound)
    bodies = [(_compile(body, inner_scope, names), _weight(body)) for body in arguments[macro.variables :]]

    def evaluate(variables: Variables) -> Any:
        budget, inner = variables[_BUDGET], dict(variables)

        def evaluated(body: Evaluate, weight: int) -> macros.Each:
            def each(entry: macros.Entry) -> Any:
                budget.charge(weight)
                inner.update(zip(bound, entry, strict=True))
                return body(inner)

            return each

        entries = macros.entries_of(container(variables), macro.variables)
        if macro.filtered:
            counts = evaluated(*bodies[0])
            entries = [entry for entry in entries if truth(counts(entry))]
        return macro.run(entries, evaluated(*bodies[-1]), budget)

    return evaluate


def _optional_map(node: Node, scope: frozenset[str], names: set[str]) -> Evaluate:
    """`x.optMap(v, expression)`: the expression's value for a value that is there, as an optional value again."""
    if len(node.children) != 3:
        raise CelSyntaxError(f"{node.value}() needs a variable and an expression")
    target, variable, expression = node.children
    name, wrapped = _variable(variable, node.value), node.value == "optMap"
    found = _compile(target, scope, names)
    body = _compile(expression, scope | {name}, names)

    def evaluate(variables: Variables) -> Any:
        optional = found(variables)
        if not optionals.has_value(optional):
            return optional
        value = body({**variables, name: optional.value})
        if not wrapped:
            optionals.has_value(value)  # only an optional value will do
            return value
        return optionals.Optional(value)

    return evaluate


def _optional_or(node: Node, scope: frozenset[str], names: set[str]) -> Evaluate:
    """`x.or(y)` and `x.orValue(y)`, which do not look at `y` if there is no need."""
    if len(node.children) != 2:
        raise CelSyntaxError(f"{node.value}() needs another value")
    found, other = (_compile(child, scope, names) for child in node.children)
    choose: Callable[..., Any] = optionals.either if node.value == "or" else optionals.or_value
    return lambda variables: choose(found(variables), lambda: other(variables))


Special = Callable[[Node, frozenset[str], set[str]], Evaluate]
_SPECIAL: dict[str, Special] = {"list": _list, "map": _map, "name": _name}
_SPECIAL_METHODS: dict[str, Special] = {
    **dict.fromkeys(macros.NAMES, _macro),
    **dict.fromkeys(("optFlatMap", "optMap"), _optional_map),
    **dict.fromkeys(("or", "orValue"), _optional_or),
}
"""Parts of the language that are compiled as a whole, not from the values of what they are made of."""
