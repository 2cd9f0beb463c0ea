"""The syntax of CEL: a text becomes a tree of nodes. Next: `evaluation` makes a function of the tree."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from roadstead.apiserver.cel import literals

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
      | (?P<number>0x[0-9a-fA-F]+[uU]?|\d*\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\d+[uU]?)
      | (?P<string>[rRbB]{0,2}(?:'''.*?'''|\"\"\".*?\"\"\"|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"))
      | (?P<name>[_a-zA-Z][_a-zA-Z0-9]*)
      | (?P<quoted>`[a-zA-Z0-9_./ -]+`)
      | (?P<operator>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)
_MAX_DEPTH = 40


class CelSyntaxError(ValueError):
    """The text is not CEL, or CEL that is not understood here."""


@dataclass(frozen=True, slots=True)
class Node:
    """An expression: what it is (`literal`, `name`, `select`, `index`, `call`, `method`, `list`, `map`, ...)."""

    kind: str
    value: Any = None
    children: tuple["Node", ...] = ()


Token = tuple[str, str]


def parse(text: str) -> Node:
    """Return the tree of an expression. Raises CelSyntaxError."""
    parser = _Parser(list(_tokens(text)))
    node = parser.expression()
    if parser.peek() != _END:
        raise CelSyntaxError(f"unexpected {parser.peek()[1]!r}")
    return node


_END: Token = ("end", "the end")


def _tokens(text: str) -> Iterator[Token]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise CelSyntaxError(f"unexpected {text[position : position + 10]!r}")
        if match.lastgroup and match.lastgroup != "space":
            yield match.lastgroup, match[0]
        position = match.end()


# Binary operators, from those that bind least; comparisons do not chain in rules that make sense.
_LEVELS = (("||",), ("&&",), ("<", "<=", ">=", ">", "==", "!=", "in"), ("+", "-"), ("*", "/", "%"))


class _Parser:
    """Recursive descent over a list of tokens."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def peek(self) -> Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else _END

    def _next(self) -> Token:
        token = self.peek()
        self._at += 1
        return token

    def _accept(self, *texts: str) -> str | None:
        kind, text = self.peek()
        if text in texts and kind in ("operator", "name"):
            self._at += 1
            return text
        return None

    def _expect(self, text: str) -> None:
        if self._accept(text) is None:
            raise CelSyntaxError(f"expected {text!r}, found {self.peek()[1]!r}")

    def expression(self) -> Node:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise CelSyntaxError("nested too deeply")
        condition = self._binary(0)
        if self._accept("?"):
            then = self._binary(0)
            self._expect(":")
            condition = Node("if", None, (condition, then, self.expression()))
        self._depth -= 1
        return condition

    def _binary(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while operator := self._accept(*_LEVELS[level]):
            left = Node("binary", operator, (left, self._binary(level + 1)))
        return left

    def _unary(self) -> Node:
        operators: list[str] = []
        while operator := self._accept("!", "-"):
            operators.append(operator)
        node = self._member()
        for operator in reversed(operators):
            node = Node("unary", operator, (node,))
        return node

    def _member(self) -> Node:
        node = self._primary()
        while operator := self._accept(".", "["):
            optional = "optional " if self._accept("?") else ""
            if operator == "[":
                node = Node(f"{optional}index", None, (node, self.expression()))
                self._expect("]")
                continue
            kind, name = self._next()
            if kind == "quoted":
                node = Node(f"{optional}select", name[1:-1], (node,))
                continue
            if kind != "name":
                raise CelSyntaxError(f"expected a name, found {name!r}")
            if optional or not self._accept("("):
                node = Node(f"{optional}select", name, (node,))
            else:
                node = Node("method", name, (node, *self._arguments()))
        return node

    def _primary(self) -> Node:
        kind, text = self._next()
        if kind == "number":
            return _literal(literals.number, text)
        if kind == "string":
            return _literal(literals.string, text)
        if kind == "name":
            if text in _CONSTANTS:
                return Node("literal", _CONSTANTS[text])
            return Node("call", text, tuple(self._arguments())) if self._accept("(") else Node("name", text)
        return self._group(text)

    def _group(self, text: str) -> Node:
        if text == "(":
            node = self.expression()
            self._expect(")")
            return node
        if text == "[":
            return Node("list", None, tuple(self._separated("]", self._element)))
        if text == "{":
            return Node("map", None, tuple(self._separated("}", self._entry)))
        raise CelSyntaxError(f"unexpected {text!r}")

    def _arguments(self) -> list[Node]:
        return self._separated(")", self.expression)

    def _element(self) -> Node:
        return Node("optional element", None, (self.expression(),)) if self._accept("?") else self.expression()

    def _entry(self) -> Node:
        kind = "optional entry" if self._accept("?") else "entry"
        key = self.expression()
        self._expect(":")
        return Node(kind, None, (key, self.expression()))

    def _separated(self, end: str, element: Callable[[], Node]) -> list[Node]:
        found: list[Node] = []
        while not self._accept(end):
            if found:
                self._expect(",")
                if self._accept(end):
                    break
            found.append(element())
        return found


_CONSTANTS = {"true": True, "false": False, "null": None}


def _literal(read: Callable[[str], Any], text: str) -> Node:
    try:
        return Node("literal", read(text))
    except ValueError as error:
        raise CelSyntaxError(f"{text} is no literal: {error}") from error
