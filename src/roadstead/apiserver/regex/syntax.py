"""RE2's syntax (https://github.com/google/re2/wiki/Syntax), read into a tree of what is to be matched. Pure.

Which of several matches is found makes no difference to us, so lazy and greedy repetition are the same, and groups are
only brackets. Scripts (`\\p{Greek}`) are not known; categories (`\\p{Lu}`) are.
"""

import unicodedata
from dataclasses import dataclass, replace

_LARGEST_REPEAT = 1000
_DEEPEST = 100
Ranges = tuple[tuple[int, int], ...]


class PatternError(ValueError):
    """A text that is no pattern."""

    def __init__(self, problem: str, near: str) -> None:
        super().__init__(f"error parsing regexp: {problem}: `{near}`")


@dataclass(frozen=True, slots=True)
class Characters:
    """A set of characters: ranges of code points, categories of Unicode, other sets; or all but these."""

    ranges: Ranges = ()
    categories: tuple[str, ...] = ()
    sets: "tuple[Characters, ...]" = ()
    negated: bool = False
    fold: bool = False

    def has(self, character: str) -> bool:
        """Say whether a character is in the set."""
        forms = {character, character.lower(), character.upper(), character.casefold()} if self.fold else (character,)
        return any(self._holds(form) for form in forms if len(form) == 1) is not self.negated

    def _holds(self, character: str) -> bool:
        code = ord(character)
        if any(low <= code <= high for low, high in self.ranges):
            return True
        if self.categories and unicodedata.category(character).startswith(self.categories):
            return True
        return any(inner.has(character) for inner in self.sets)


@dataclass(frozen=True, slots=True)
class Assertion:
    """A place in the text: `start`, `end`, `line-start`, `line-end`, `boundary`, `no-boundary`."""

    kind: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """One part after the other."""

    parts: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Choice:
    """Any of several."""

    options: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Repeat:
    """A part, this often; `most` is None for as often as one likes."""

    part: "Node"
    least: int
    most: int | None


Node = Characters | Assertion | Sequence | Choice | Repeat

_DIGIT: Ranges = ((48, 57),)
_SPACE: Ranges = ((9, 10), (12, 13), (32, 32))
_WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
_PERL = {"d": _DIGIT, "s": _SPACE, "w": _WORD}
_POSIX: dict[str, Ranges] = {
    "alnum": ((48, 57), (65, 90), (97, 122)), "alpha": ((65, 90), (97, 122)), "ascii": ((0, 127),),
    "blank": ((9, 9), (32, 32)), "cntrl": ((0, 31), (127, 127)), "digit": _DIGIT, "graph": ((33, 126),),
    "lower": ((97, 122),), "print": ((32, 126),), "punct": ((33, 47), (58, 64), (91, 96), (123, 126)),
    "space": ((9, 13), (32, 32)), "upper": ((65, 90),), "word": _WORD, "xdigit": ((48, 57), (65, 70), (97, 102)),
}  # fmt: skip
_CONTROL = {"a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11}
_PLACES = {"A": "start", "z": "end", "b": "boundary", "B": "no-boundary"}
_CATEGORIES = {
    *("C", "Cc", "Cf", "Co", "Cs", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd", "Nl", "No"),
    *("P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs"),
}


@dataclass(frozen=True, slots=True)
class _Flags:
    fold: bool = False
    lines: bool = False
    dot_all: bool = False


def parse(text: str) -> Node:
    """Return what a pattern matches. Raises PatternError."""
    reader = _Reader(text)
    node = reader.choice(_Flags(), 0)
    if not reader.done():
        raise PatternError("unexpected )", text)
    return node


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def done(self) -> bool:
        return self._at >= len(self._text)

    def _peek(self, size: int = 1) -> str:
        return self._text[self._at : self._at + size]

    def _take(self, size: int = 1) -> str:
        taken = self._peek(size)
        self._at += size
        return taken

    def _accept(self, text: str) -> bool:
        found = self._text.startswith(text, self._at)
        self._at += len(text) * found
        return found

    def choice(self, flags: _Flags, depth: int) -> Node:
        """Read alternatives, up to the end or to a bracket that somebody else opened."""
        if depth > _DEEPEST:
            raise PatternError("expression nests too deeply", self._text)
        options: list[Node] = []
        parts: list[Node] = []
        while not self.done() and self._peek() != ")":
            if self._accept("|"):
                options.append(Sequence(tuple(parts)))
                parts = []
            elif self._peek(2) == "(?" and (changed := self._bare_flags(flags)) is not None:
                flags = changed
            elif self._accept("\\Q"):
                literal, _, rest = self._text[self._at :].partition("\\E")
                self._at = len(self._text) - len(rest)
                parts += [_one(ord(letter), flags) for letter in literal]
                if literal:
                    parts.append(self._repeated(parts.pop()))
            else:
                parts.append(self._repeated(self._atom(flags, depth)))
        options.append(Sequence(tuple(parts)))
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def _bare_flags(self, flags: _Flags) -> _Flags | None:
        """Read `(?i)`, which holds for the rest of its group; None, with nothing read, for any other group."""
        begun = self._at
        end = self._text.find(")", begun)
        letters = self._text[begun + 2 : end] if end > 0 else ""
        if not letters or letters.strip("imsU-") or letters.count("-") > 1:
            return None
        self._at = end + 1
        return _changed(flags, letters)

    def _atom(self, flags: _Flags, depth: int) -> Node:
        begun = self._at
        letter = self._take()
        if letter == "(":
            return self._group(flags, depth, begun)
        if letter == "[":
            return self._class(flags, begun)
        if letter == ".":
            return Characters(negated=True) if flags.dot_all else Characters(((10, 10),), negated=True)
        if letter in "^$":
            names = ("line-start", "line-end") if flags.lines else ("start", "end")
            return Assertion(names["^$".index(letter)])
        if letter == "\\":
            return self._escaped(flags)
        if letter in "*+?":
            raise PatternError("missing argument to repetition operator", letter)
        return _one(ord(letter), flags)

    def _group(self, flags: _Flags, depth: int, begun: int) -> Node:
        if self._accept("?"):
            if self._accept("P<") or (self._peek() == "<" and self._peek(2) not in ("<=", "<!") and self._accept("<")):
                name, closed, _ = self._text[self._at :].partition(">")
                if not closed or not name.replace("_", "a").isalnum() or not name.isascii():
                    raise PatternError("invalid named capture", self._text[begun:])
                self._at += len(name) + 1
            else:
                letters, found, _ = self._text[self._at :].partition(":")
                if not found or letters.strip("imsU-") or letters.count("-") > 1:
                    raise PatternError("invalid or unsupported Perl syntax", self._text[begun : self._at + 1])
                self._at += len(letters) + 1
                flags = _changed(flags, letters)
        inner = self.choice(flags, depth + 1)
        if not self._accept(")"):
            raise PatternError("missing closing )", self._text)
        return inner

    def _repeated(self, part: Node) -> Node:
        begun = self._at
        bounds = self._bounds()
        if bounds is None:
            return part
        self._accept("?")
        least, most = bounds
        if least > _LARGEST_REPEAT or (most or 0) > _LARGEST_REPEAT or (most is not None and most < least):
            raise PatternError("invalid repeat count", self._text[begun : self._at])
        again = self._at
        if self._bounds() is not None:
            raise PatternError("invalid nested repetition operator", self._text[begun : max(self._at, again + 1)])
        return Repeat(part, least, most)

    def _bounds(self) -> tuple[int, int | None] | None:
        """Read how often something is to be repeated; None, with nothing read, if it is not."""
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._accept(sign):
                return bounds
        if self._peek() != "{":
            return None
        inside, closed, _ = self._text[self._at + 1 :].partition("}")
        least, comma, most = inside.partition(",")
        # A brace that bounds nothing is a character like any other.
        if not closed or not _is_number(least) or (most and not _is_number(most)):
            return None
        self._at += len(inside) + 2
        return int(least), (int(most) if most else None if comma else int(least))

    def _escaped(self, flags: _Flags) -> Node:
        if (place := _PLACES.get(self._peek())) is not None:
            self._take()
            return Assertion(place)
        named = self._named_class()
        return replace(named, fold=flags.fold) if named is not None else _one(self._code(), flags)

    def _named_class(self) -> Characters | None:
        """Read what follows a backslash if it stands for several characters."""
        letter = self._peek()
        if letter.lower() in _PERL and letter:
            self._take()
            return Characters(_PERL[letter.lower()], negated=letter.isupper())
        if letter not in ("p", "P"):
            return None
        self._take()
        name = self._take()
        if name == "{":
            name, closed, _ = self._text[self._at :].partition("}")
            self._at += len(name) + len(closed)
        negated = (letter == "P") is not name.startswith("^")
        category = name.removeprefix("^")
        if category not in _CATEGORIES:
            raise PatternError("invalid character class range", f"\\{letter}{{{name}}}")
        return Characters(categories=(category,), negated=negated)

    def _code(self) -> int:
        """Read what follows a backslash and stands for one character."""
        letter = self._take()
        if letter in _CONTROL and letter:
            return _CONTROL[letter]
        if letter == "x":
            return self._hexadecimal()
        if letter and letter in "01234567" and (letter == "0" or self._peek().isdigit()):
            digits = letter
            while len(digits) < 3 and self._peek() and self._peek() in "01234567":
                digits += self._take()
            return int(digits, 8)
        if not letter:
            raise PatternError("trailing backslash at end of expression", "")
        if letter.isascii() and letter.isalnum():
            raise PatternError("invalid escape sequence", f"\\{letter}")
        return ord(letter)

    def _hexadecimal(self) -> int:
        if self._accept("{"):
            digits, _, _ = self._text[self._at :].partition("}")
            self._at += len(digits) + 1
        else:
            digits = self._take(2)
        try:
            return ord(chr(int(digits, 16)))
        except (ValueError, OverflowError):
            raise PatternError("invalid escape sequence", f"\\x{digits}") from None

    def _class(self, flags: _Flags, begun: int) -> Characters:
        negated = self._accept("^")
        ranges: list[tuple[int, int]] = []
        sets: list[Characters] = []
        first = True
        while first or self._peek() != "]":
            if self.done():
                raise PatternError("missing closing ]", self._text[begun:])
            first = False
            inner = self._inner_class()
            if inner is not None:
                sets.append(inner)
                continue
            low = high = self._member()
            if self._peek() == "-" and self._peek(2) != "-]" and len(self._peek(2)) == 2:
                self._take()
                high = self._member()
                if high < low:
                    raise PatternError("invalid character class range", f"{chr(low)}-{chr(high)}")
            ranges.append((low, high))
        self._take()
        return Characters(tuple(ranges), sets=tuple(sets), negated=negated, fold=flags.fold)

    def _inner_class(self) -> Characters | None:
        if self._peek(2) == "[:":
            name, closed, _ = self._text[self._at + 2 :].partition(":]")
            plain = name.removeprefix("^")
            if closed:
                if plain not in _POSIX:
                    raise PatternError("invalid character class range", f"[:{name}:]")
                self._at += len(name) + 4
                return Characters(_POSIX[plain], negated=plain != name)
        if self._peek() == "\\":
            begun = self._at
            self._take()
            named = self._named_class()
            if named is not None:
                return named
            self._at = begun
        return None

    def _member(self) -> int:
        letter = self._take()
        return self._code() if letter == "\\" else ord(letter)


def _one(code: int, flags: _Flags) -> Characters:
    return Characters(((code, code),), fold=flags.fold)


def _changed(flags: _Flags, letters: str) -> _Flags:
    on, _, off = letters.partition("-")
    for value, names in ((True, on), (False, off)):
        for letter, field in (("i", "fold"), ("m", "lines"), ("s", "dot_all")):
            if letter in names:
                flags = replace(flags, **{field: value})
    return flags


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 6
