"""The generator of the schema tables, on inputs small enough to read."""

import importlib.util
from pathlib import Path

import pytest

from roadstead.apiserver.openapi import join_descriptions

SCRIPT = Path(__file__).parents[3] / "scripts/generate_schemas.py"


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("generate_schemas", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GO = """package v1

import (
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type Phase string
type Amounts map[string]resource.Quantity
type Extra []string

// A Thing is a thing.
type Thing struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty" protobuf:"bytes,1,opt,name=metadata"`
	Count    *int32           `json:"count,omitempty" protobuf:"varint,2,opt,name=count"`
	Phase    Phase            `json:"phase" protobuf:"bytes,3,opt,name=phase,casttype=Phase"`
	Amounts  Amounts          `json:"amounts,omitempty" protobuf:"bytes,4,rep,name=amounts"`
	Parts    []Part           `json:"parts,omitempty" protobuf:"bytes,5,rep,name=parts"`
	Extra    map[string]Extra `json:"extra,omitempty" protobuf:"bytes,6,rep,name=extra"`
	Source   `json:",inline" protobuf:"bytes,7,opt,name=source"`
	Hidden   string           `json:"-" protobuf:"-"`
	Since    metav1.Time      `json:"since,omitempty,omitzero" protobuf:"bytes,8,opt,name=since"`
}

type Part struct {
	Raw []byte `json:"raw,omitempty" protobuf:"bytes,1,opt,name=raw"`
}
"""


def test_struct_tags_become_fields_with_resolved_types(generator, tmp_path):
    (tmp_path / "things/v1").mkdir(parents=True)
    (tmp_path / "things/v1/types.go").write_text(GO)
    (tmp_path / "things/v1/types_test.go").write_text(GO.replace("Thing", "Other"))
    types = generator.GoTypes()
    types.read(tmp_path, "k8s.io/api")
    assert set(types.structs) == {"io.k8s.api.things.v1.Thing", "io.k8s.api.things.v1.Part"}
    assert types.fields("io.k8s.api.things.v1.Thing") == [
        [1, "metadata", "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", False],
        [2, "count", "*int32", True],
        [3, "phase", "string", False],
        [4, "amounts", "{}io.k8s.apimachinery.pkg.api.resource.Quantity", True],
        [5, "parts", "[]io.k8s.api.things.v1.Part", True],
        [6, "extra", "{}()string", True],
        [7, "", "io.k8s.api.things.v1.Source", False],
        [8, "since", "io.k8s.apimachinery.pkg.apis.meta.v1.Time", True],
    ]


def test_noise_goes_and_what_is_said_stays(generator):
    schema = {
        "default": {},
        "x-kubernetes-unions": [],
        "properties": {
            "default": {"type": "string", "default": ""},
            "protocol": {"type": "string", "default": "TCP"},
        },
    }
    assert generator.plain(schema) == {
        "properties": {"default": {"type": "string"}, "protocol": {"type": "string", "default": "TCP"}}
    }


def test_descriptions_are_split_off_and_join_again(generator):
    schema = {
        "description": "a",
        "type": "object",
        "properties": {
            "description": {"description": "b", "type": "string"},
            "list": {"type": "array", "items": {"description": "c", "type": "string"}},
            "map": {"additionalProperties": {"description": "d"}},
        },
    }
    bare = generator.plain(schema)
    texts = generator.split_descriptions(bare)
    assert "description" not in bare
    assert bare["properties"]["description"] == {"type": "string"}
    assert join_descriptions(bare, texts) == schema


def test_the_same_content_gives_the_same_bytes(generator):
    for name in ("a.json.gz", "a.json.xz"):
        encoded = generator.encode(name, {"a": "é"})
        assert encoded == generator.encode(name, {"a": "é"})
        assert generator.decode(name, encoded) == {"a": "é"}
