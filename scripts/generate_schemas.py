#!/usr/bin/env python
"""Write the tables of facts in `src/roadstead/apiserver/schemas/`, or say with `--check` whether they are current.

    python scripts/generate_schemas.py            # rewrite the three tables
    python scripts/generate_schemas.py --check    # exit 1 if a table differs from what its sources say

The sources are Go modules, fetched by `go mod download` (Go is needed here, never by users of the tables):
k8s.io/kubernetes for the OpenAPI documents; k8s.io/{api,apimachinery,apiextensions-apiserver} for protobuf field
numbers in struct tags (whether a field is a pointer decides whether a zero is said or merely absent, and no .proto
file has that); sigs.k8s.io/gateway-api for the CRDs of the Gateway API. Descriptions stay in a table of their own,
which only `kubectl explain` makes the server read.
"""

import argparse
import gzip
import json
import lzma
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from roadstead.api.resources import BUILT_IN

KUBERNETES = "v1.37.1"
LIBRARIES = "v0.37.1"
GATEWAY_API = "v1.6.3"
TARGET = Path(__file__).parent.parent / "src/roadstead/apiserver/schemas"

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
OPTIONS = {META + name for name in ("CreateOptions", "GetOptions", "ListOptions", "PatchOptions", "UpdateOptions")}
# Bodies of subresources and of requests, beside the kinds that have a collection.
ALSO = (
    *(META + name for name in ("DeleteOptions", "ObjectMeta", "Patch", "Status")),
    "io.k8s.api.authentication.v1.TokenRequest",
    "io.k8s.api.autoscaling.v1.Scale",
    "io.k8s.api.policy.v1.Eviction",
)
# OpenAPI prints Go's zero values as defaults of every required field; they are not defaults that anything applies.
NO_DEFAULTS: tuple[Any, ...] = ("", 0, False, {})
JSON_OBJECT = dict[str, Any]


def module(path: str, version: str) -> Path:
    """Return the directory of a Go module, downloading it if needed."""
    answer = subprocess.run(["go", "mod", "download", "-json", f"{path}@{version}"], capture_output=True, check=True)
    return Path(json.loads(answer.stdout)["Dir"])


# OpenAPI: the definitions that the served kinds reach.


def kubernetes_definitions() -> JSON_OBJECT:
    """Return every definition of the published OpenAPI v3 documents."""
    found: JSON_OBJECT = {}
    for path in sorted((module("k8s.io/kubernetes", KUBERNETES) / "api/openapi-spec/v3").glob("*.json")):
        for name, schema in json.loads(path.read_text()).get("components", {}).get("schemas", {}).items():
            kinds = found.get(name, {}).get("x-kubernetes-group-version-kind", [])
            found[name] = plain(schema)
            merge_kinds(found[name], kinds)
    return found


def merge_kinds(schema: JSON_OBJECT, kinds: list[JSON_OBJECT]) -> None:
    """Keep the kinds that an earlier document gave to the same definition (DeleteOptions has one per group)."""
    listed = [*kinds, *(k for k in schema.get("x-kubernetes-group-version-kind", []) if k not in kinds)]
    if listed:
        schema["x-kubernetes-group-version-kind"] = sorted(listed, key=lambda k: (k["group"], k["version"], k["kind"]))


def plain(schema: Any) -> Any:
    """Return a schema without noise: no zero defaults, no unions for clients; `allOf` of one reference stays."""
    if isinstance(schema, list):
        return [plain(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    noise = {"x-kubernetes-unions", *(("default",) if schema.get("default", 1) in NO_DEFAULTS else ())}
    kept = {key: plain(value) for key, value in schema.items() if key not in noise | {"properties"}}
    if "properties" in schema:
        kept["properties"] = {name: plain(child) for name, child in schema["properties"].items()}
    return kept


def references(schema: Any) -> Iterator[str]:
    """Yield the names of the definitions that a schema refers to."""
    if isinstance(schema, dict):
        if isinstance(reference := schema.get("$ref"), str):
            yield reference.rsplit("/", 1)[1]
        schema = list(schema.values())
    if isinstance(schema, list):
        for entry in schema:
            yield from references(entry)


def served(definitions: JSON_OBJECT) -> JSON_OBJECT:
    """Return the definitions that the built-in resources and the request bodies need."""
    wanted = {(r.group, r.version, r.kind) for r in BUILT_IN}
    pending = [
        name
        for name, schema in definitions.items()
        for kind in schema.get("x-kubernetes-group-version-kind", ())
        if (kind["group"], kind["version"], kind["kind"]) in wanted
    ]
    pending += ALSO
    reached: set[str] = set()
    while pending:
        name = pending.pop()
        if name not in reached:
            reached.add(name)
            pending += references(definitions[name])
    return {name: definitions[name] for name in sorted(reached)}


# Gateway API: CRDs become definitions like the others.


def gateway_versions() -> Iterator[tuple[JSON_OBJECT, JSON_OBJECT]]:
    """Yield the CRD's spec and its version, for every served version.

    The experimental channel has every field of the standard one, and those that the gateway serves beside them.
    """
    directory = module("sigs.k8s.io/gateway-api", GATEWAY_API) / "config/crd/experimental"
    served_kinds = {(r.group, r.version, r.kind) for r in BUILT_IN}
    for path in sorted(directory.glob("gateway.networking.k8s.io_*s.yaml")):
        crd = next(document for document in yaml.load_all(path.read_text(), yaml.CSafeLoader) if document)
        if crd["kind"] != "CustomResourceDefinition":
            continue
        for version in crd["spec"]["versions"]:
            if (crd["spec"]["group"], version["name"], crd["spec"]["names"]["kind"]) in served_kinds:
                yield crd["spec"], version


def gateway_definitions() -> JSON_OBJECT:
    """Return the Gateway API's kinds as definitions, named as Kubernetes names those of CRDs."""
    found: JSON_OBJECT = {}
    for spec, version in gateway_versions():
        kind, group = spec["names"]["kind"], spec["group"]
        schema = version["schema"]["openAPIV3Schema"]
        schema["properties"]["metadata"] = {"allOf": [{"$ref": f"#/components/schemas/{META}ObjectMeta"}]}
        schema["x-kubernetes-group-version-kind"] = [{"group": group, "version": version["name"], "kind": kind}]
        found[".".join((*reversed(group.split(".")), version["name"], kind))] = schema
    return found


def gateway_columns() -> JSON_OBJECT:
    """Return the printer columns of the Gateway API's kinds, by `group/version/Kind`."""
    return {
        f"{spec['group']}/{version['name']}/{spec['names']['kind']}": version.get("additionalPrinterColumns", [])
        for spec, version in gateway_versions()
    }


# Descriptions: a tree beside the schema. "" is the node's own text.


def split_descriptions(schema: JSON_OBJECT) -> JSON_OBJECT:
    """Take the descriptions out of a schema (in place) and return them as a tree: `""`, `p`(roperties), `i`, `a`."""
    texts: JSON_OBJECT = {}
    if isinstance(schema.get("description"), str):
        texts[""] = schema.pop("description")
    properties = {name: split_descriptions(child) for name, child in schema.get("properties", {}).items()}
    texts["p"] = {name: tree for name, tree in properties.items() if tree}
    for key, short in (("items", "i"), ("additionalProperties", "a")):
        if isinstance(schema.get(key), dict):
            texts[short] = split_descriptions(schema[key])
    return {key: value for key, value in texts.items() if value}


# Protobuf: struct tags of the Go types.

STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"^type (\w+) ([\w.\[\]*]+)$", re.MULTILINE)
IMPORT = re.compile(r'^\s+(?:(\w+)\s+)?"([\w./-]+)"$', re.MULTILINE)
FIELD = re.compile(r"^\t(?:(\w+)[ \t]+)?([\w.\[\]*]+)[ \t]+`(.*?)`", re.MULTILINE)
SCALARS = {"string", "bool", "int32", "int64", "int", "byte", "float64", "uint64", "uint32"}
EXTERNAL = {"types.UID": "string", "types.NodeName": "string", "time.Duration": "int64"}


def definition_name(package: str, type_: str) -> str:
    """Return the OpenAPI name of a Go type: `k8s.io/api/core/v1`, `Pod` is `io.k8s.api.core.v1.Pod`."""
    host, _, rest = package.partition("/")
    return ".".join((*reversed(host.split(".")), *rest.split("/"), type_))


class GoTypes:
    """Structs with their protobuf tags, and what named types stand for, by OpenAPI name."""

    def __init__(self) -> None:
        self.structs: dict[str, list[list[Any]]] = {}
        self.named: dict[str, str] = {}

    def read(self, root: Path, module_path: str) -> None:
        """Read every Go file below a module's directory."""
        for path in sorted(root.rglob("*.go")):
            if not path.name.startswith(("zz_generated", "generated")) and not path.name.endswith("_test.go"):
                relative = path.parent.relative_to(root)
                self._read_file(path.read_text(), f"{module_path}/{relative}" if relative.parts else module_path)

    def _read_file(self, text: str, package: str) -> None:
        imports = {alias or full.rsplit("/", 1)[-1]: full for alias, full in IMPORT.findall(text)}
        for name, type_ in NAMED.findall(text):
            self.named[definition_name(package, name)] = self._qualify(type_, package, imports)
        for name, body in STRUCT.findall(text):
            fields = [
                self._field(type_, tag, package, imports) for _, type_, tag in FIELD.findall(body) if "protobuf:" in tag
            ]
            if any(fields):
                self.structs[definition_name(package, name)] = [entry for entry in fields if entry]

    def _field(self, type_: str, tag: str, package: str, imports: dict[str, str]) -> list[Any]:
        wire = re.search(r'protobuf:"([^"]*)"', tag)
        if wire is None or wire[1] == "-":
            return []
        json_tag = re.search(r'json:"([^"]*)"', tag)
        name, *flags = (json_tag[1] if json_tag else "").split(",")
        qualified = self._qualify(type_, package, imports)
        omitted = "omitzero" if "omitzero" in flags else "omitempty" if "omitempty" in flags else ""
        return [int(wire[1].split(",")[1]), name, qualified, omitted]

    def _qualify(self, type_: str, package: str, imports: dict[str, str]) -> str:
        prefix, _, rest = re.fullmatch(r"((\*|\[\]|map\[[\w.]+\])*)(.*)", type_).group(1, 2, 3)  # type: ignore[union-attr]
        prefix = re.sub(r"map\[[\w.]+\]", "{}", prefix)
        if rest in SCALARS:
            return prefix + rest
        if rest in EXTERNAL:
            return prefix + EXTERNAL[rest]
        alias, _, name = rest.rpartition(".")
        return prefix + definition_name(imports.get(alias, alias) if alias else package, name)

    def resolve(self, type_: str) -> str:
        """Replace named types by what they stand for, until only scalars and structs are left."""
        prefix, rest = re.fullmatch(r"((?:\*|\[\]|\{\})*)(.*)", type_).groups()  # type: ignore[union-attr]
        if rest in self.named and rest not in self.structs:
            inner = self.named[rest]
            # A named list is a message of its own on the wire (`repeated items = 1`): mark it with `()`.
            wrapped = "()" + inner[2:] if inner.startswith("[]") and inner != "[]byte" else inner
            return prefix + self.resolve(wrapped) if not wrapped.startswith("()") else prefix + wrapped
        return type_

    def fields(self, struct: str) -> list[list[Any]]:
        """Return `[number, JSON name, type, left out if empty]` of a struct's fields."""
        resolved = [(number, name, self.resolve(type_), flag) for number, name, type_, flag in self.structs[struct]]
        return [[number, name, type_, is_omitted(type_, flag)] for number, name, type_, flag in resolved]


def is_omitted(type_: str, flag: str) -> bool:
    """Say whether the JSON encoder leaves out an empty field; to `omitempty` a struct is never empty."""
    struct = type_ not in SCALARS and not type_.startswith(("*", "[]", "{}", "()"))
    return flag == "omitzero" or (flag == "omitempty" and not struct)


def protobuf_table(names: set[str]) -> JSON_OBJECT:
    """Return `definition -> [[number, JSON name, type, left out if empty], ...]` of all that the definitions reach."""
    types = GoTypes()
    for library in ("api", "apimachinery", "apiextensions-apiserver"):
        types.read(module(f"k8s.io/{library}", LIBRARIES), f"k8s.io/{library}")
    table: JSON_OBJECT = {}
    pending = [name for name in sorted(names) if name in types.structs]
    while pending:
        name = pending.pop()
        if name in table:
            continue
        table[name] = types.fields(name)
        inner = (re.sub(r"^[*\[\]{}()]+", "", entry[2]) for entry in table[name])
        pending += [type_ for type_ in inner if type_ in types.structs]
    return dict(sorted(table.items()))


# Writing and checking.


def tables() -> dict[str, JSON_OBJECT]:
    """Return the content of each table by file name."""
    definitions = served({**kubernetes_definitions(), **gateway_definitions()})
    descriptions = {name: split_descriptions(schema) for name, schema in definitions.items()}
    return {
        "definitions.json.gz": {"definitions": definitions, "columns": gateway_columns()},
        "descriptions.json.xz": descriptions,
        "protobuf.json.gz": protobuf_table(set(definitions) | OPTIONS),
    }


def encode(name: str, table: JSON_OBJECT) -> bytes:
    """Return the file's bytes, the same for the same content."""
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    return lzma.compress(text, preset=9) if name.endswith(".xz") else gzip.compress(text, 9, mtime=0)


def decode(name: str, content: bytes) -> JSON_OBJECT:
    """Return what a table's file says."""
    unpack = lzma.decompress if name.endswith(".xz") else gzip.decompress
    found: JSON_OBJECT = json.loads(unpack(content))
    return found


def main() -> int:
    """Write or check the tables; return the exit code."""
    parser = argparse.ArgumentParser(description="Generate the API server's schema tables.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a table is not current")
    check = parser.parse_args().check
    stale = 0
    for name, table in tables().items():
        path = TARGET / name
        if check:
            current = path.exists() and decode(name, path.read_bytes()) == table
            stale += not current
            print(f"{name}: {'current' if current else 'differs from its sources; run this script without --check'}")
        else:
            path.write_bytes(encode(name, table))
            print(f"{name}: {len(table)} entries, {path.stat().st_size:,} bytes")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
