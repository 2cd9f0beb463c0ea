"""YAML that is nested beyond reason, refused before anything follows its nesting.

libyaml's composer calls itself for every level, so that a document of fifty thousand brackets would end the process;
PyYAML's own would raise RecursionError. Its parser calls nothing for a level, and costs a tenth of the composer.
"""

from typing import Any

import yaml

DEEPEST = 200


class NestedTooDeeply(yaml.YAMLError):
    """The document has more levels than any that means something."""

    def __init__(self) -> None:
        super().__init__("the document is nested too deeply")


def check_depth(text: str | bytes) -> None:
    """Raise NestedTooDeeply. What is no YAML is left to the loader, which stops at the same place and says more."""
    depth = 0
    try:
        for event in yaml.parse(text, yaml.CSafeLoader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > DEEPEST:
                    raise NestedTooDeeply
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except NestedTooDeeply:
        raise
    except yaml.YAMLError:
        return


def load_yaml(text: str | bytes) -> Any:
    """Return the one document of a text. Raises YAMLError."""
    check_depth(text)
    return yaml.load(text, Loader=yaml.CSafeLoader)
