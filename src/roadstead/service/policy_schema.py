"""A JSON schema of the policy file, for editors that check and complete while one writes.

    python -m roadstead.service.policy_schema > policy.schema.json

and, in the first line of a policy: `# yaml-language-server: $schema=policy.schema.json`. What a schema cannot say, that
roles exist and methods are spelt as their services have them, `roadstead check` says.
"""

import json
import sys
from typing import Any

from roadstead.service.conditions import IDENTITY
from roadstead.service.policy import KEYS, METHOD

_SCALAR = {"type": ["string", "number", "boolean"]}
_NAMES = {"type": "array", "items": {"type": "string"}}
_METHODS = {"type": "array", "items": {"$ref": "#/$defs/method"}}


def _one_or_more(value: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [value, {"type": "array", "items": value, "minItems": 1}]}


def _anchored(pattern: str) -> str:
    """Return a pattern of Python's for what has to match as a whole in the dialect of schemas, where it searches."""
    return "^(?:" + pattern.replace(r"\Z", "$") + ")$"


SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Who may call which method",
    "type": ["object", "null"],
    "additionalProperties": False,
    "properties": {
        "anonymous": {**_METHODS, "description": "Methods that are open to anybody; no credentials are looked at."},
        "roles": {
            "description": "What each role may call. An entry may hold under conditions only.",
            "type": ["object", "null"],
            "additionalProperties": {
                "type": ["array", "null"],
                "items": {"anyOf": [{"$ref": "#/$defs/method"}, {"$ref": "#/$defs/rule"}]},
            },
        },
        "identities": {
            "description": "The roles of each caller, by its name.",
            "type": ["object", "null"],
            "additionalProperties": _NAMES,
        },
        "groups": {
            "description": "The roles of everybody in a group (a claim of a token).",
            "type": ["object", "null"],
            "additionalProperties": _NAMES,
        },
    },
    "$defs": {
        "method": {
            "type": "string",
            "pattern": _anchored(METHOD.pattern),
            "description": "package.Service/Method, or package.Service/* for all methods of a service.",
        },
        "rule": {
            "type": "object",
            "additionalProperties": False,
            "required": ["methods", "when"],
            "properties": {
                "methods": {**_METHODS, "minItems": 1},
                "when": {
                    "type": "object",
                    "additionalProperties": False,
                    "minProperties": 1,
                    "properties": {
                        "metadata": {
                            "description": "Values of metadata; each value of a key must be one of these.",
                            "type": "object",
                            "propertyNames": {"pattern": _anchored(KEYS["metadata"].pattern)},
                            "additionalProperties": _one_or_more({"type": "string"}),
                        },
                        "request": {
                            "description": f"Values of fields of the message; {IDENTITY} is the caller's name.",
                            "type": "object",
                            "propertyNames": {"pattern": _anchored(KEYS["request"].pattern)},
                            "additionalProperties": _one_or_more(_SCALAR),
                        },
                    },
                },
            },
        },
    },
}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(SCHEMA, indent=2) + "\n")
