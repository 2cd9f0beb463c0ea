from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.client.manifests import parse_manifest, read_manifests

FILE = Path("web.yaml")
POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: shop
spec:
  containers:
    - name: first
      image: a
    - name: second
      image: b
"""


def only(text, path=FILE):
    found = parse_manifest(text, path)
    assert not found.problems, found.problems
    (document,) = found.documents
    return document


def complaint(text, path=FILE):
    found = parse_manifest(text, path)
    assert not found.documents
    (problem,) = found.problems
    return str(problem)


def test_documents_know_their_place_and_the_places_of_their_fields():
    found = parse_manifest(f"# a comment\n---\n{POD}---\n---\n{POD}", FILE)
    first, second = found.documents
    assert (first.title, first.where(), second.where()) == ("Pod shop/web", "web.yaml:3", "web.yaml:16")
    assert first.where("spec.containers[1].image") == "web.yaml:13"
    assert first.where("spec.containers[7].image") == "web.yaml:9"
    assert first.where("no.such.field") == "web.yaml:3"


def test_a_list_is_its_items():
    items = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n- 5\n"
    found = parse_manifest(items, FILE)
    assert [document.where() for document in found.documents] == ["web.yaml:4"]
    assert [str(problem) for problem in found.problems] == ["web.yaml:5: is not a Kubernetes object but a single value"]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("2026-01-02", "2026-01-02"),
        ("22:22", "22:22"),
        ("1e3", 1000.0),
        ("0644", 420),
        ("0x10", 16),
        ("1.5", 1.5),
        ("-3", -3),
        ("yes", True),
        ("~", None),
        ("1.2.3", "1.2.3"),
        ("100m", "100m"),
    ],
)
def test_values_are_read_as_kubernetes_reads_them(written, value):
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata:\n  value: {written}\n"
    assert only(text).object["data"]["value"] == value


def test_keys_become_text():
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {8080: a, yes: b, ~: c}\n"
    assert only(text).object["data"] == {"8080": "a", "true": "b", "null": "c"}


def test_json_may_use_tabs():
    text = '{\n\t"apiVersion": "v1",\n\t"kind": "Pod",\n\t"metadata": {"name": "a"}\n}'
    assert only(text, Path("pod.json")).where("metadata.name") == "pod.json:1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1", "web.yaml:2: not YAML: did not find expected ',' or ']'"),
        ("a: b: c", "web.yaml:1: not YAML: mapping values are not allowed in this context"),
        ("- 1", "web.yaml:1: is not a Kubernetes object but a list"),
        ("kind: Pod", "web.yaml:1: apiVersion is not set"),
        ("apiVersion: v1\nkind: Pod", "web.yaml:1: Pod: metadata.name is not set"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: 5}", "must be text; put the value in quotes"),
        ("apiVersion: v1\nkind: Kustomization", "kubectl kustomize"),
        (POD + "spec: {}\n", "web.yaml:12: key 'spec' is already set in this mapping"),
        ("&a [*a]", "web.yaml: cannot be read as Kubernetes data"),
        ("!!python/object:os.system {}", "could not determine a constructor"),
        ("!!int x", "cannot be read as Kubernetes data"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text, expected):
    assert expected in complaint(text)


def test_folders_are_read_in_the_order_of_names_and_hidden_files_are_not(tmp_path):
    for name in ("b.yaml", "a/z.yml", ".hidden/x.yaml", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(POD)
    found = read_manifests([tmp_path, tmp_path / "absent.yaml"])
    assert [document.path.relative_to(tmp_path).as_posix() for document in found.documents] == ["a/z.yml", "b.yaml"]
    assert [str(problem) for problem in found.problems] == [
        f"{tmp_path}/absent.yaml: cannot be read: No such file or directory"
    ]


def test_a_file_that_is_not_text_is_a_problem(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    assert "is not UTF-8" in str(read_manifests([tmp_path]).problems[0])


@given(st.text(alphabet=" \n-:[]{}!&*<>|'\"#%@,ab1?\t", max_size=60))
def test_no_text_makes_reading_raise(text):
    parse_manifest(text, FILE)
    parse_manifest(POD + "---\n" + text, FILE)


def test_a_file_that_no_parser_could_follow_is_a_problem_of_its_own():
    assert complaint("[" * 50_000) == "web.yaml: cannot be read: the document is nested too deeply"
