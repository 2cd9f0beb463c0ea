"""What schemathesis makes of our own OpenAPI documents, sent to a server: nothing that it invents makes it fail.

Requests are drawn from each document, half as its schemas say and half against them. Every answer must be what the
document says of it, an object of the right schema or a Status, and the server must answer afterwards.
"""

import contextlib
import itertools
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from apiserver_bed import Site, prepare
from free_ports import free_port
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from roadstead.api.resources import Scheme

pytestmark = [
    pytest.mark.e2e,
    # schemathesis draws more than it needs of deep schemas, and jsonschema warns of formats that it does not know.
    pytest.mark.filterwarnings("ignore::Warning"),
]
PROCESS = Path(__file__).parents[1] / "apiserver_process.py"
WITHOUT_A_NODE = "apis/metrics.k8s.io/v1beta1"
"""Answers 503 until a node measures something, and here is none."""
DOCUMENTS = sorted({resource.root.removeprefix("/") for resource in Scheme().resources} - {WITHOUT_A_NODE})
SECONDS = 2.0
LARGE = {"api/v1": 8.0, "apis/apps/v1": 5.0, "apis/gateway.networking.k8s.io/v1": 5.0}
"""How long each document may take, and the larger ones: on a slow machine some operations are left out."""
OPERATIONS = [
    {
        "type": "object",
        "properties": {
            "op": {"enum": ["add", "remove", "replace", "move", "copy", "test", "none"]},
            "path": {
                "enum": ["", "/spec", "/metadata/labels", "/metadata/name", "/spec/replicas", "/data/a", "/a/0/-"]
            },
            "from": {"enum": ["/spec", "/metadata", "/a"]},
            "value": {},
        },
        "required": ["op", "path"],
    }
]


class Client:
    """Requests of an administrator to one server."""

    def __init__(self, site: Site, port: int) -> None:
        self.url = f"https://localhost:{port}"
        self.authority = str(site.folder / "ca.crt")
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = "Bearer admin-token"

    def get(self, path: str) -> Any:
        return self.session.get(self.url + path, verify=self.authority, timeout=10).json()

    def call(self, case: schemathesis.Case) -> Any:
        return case.call(base_url=self.url, session=self.session, verify=self.authority, timeout=10)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    site, port = prepare(tmp_path_factory.mktemp("server")), free_port()
    command = [sys.executable, str(PROCESS), str(site.folder), str(port)]
    said = site.folder / "log"
    with said.open("wb") as log, subprocess.Popen(command, stdout=log) as process:
        try:
            until = time.monotonic() + 30
            while "ready" not in said.read_text():
                assert time.monotonic() < until
                time.sleep(0.05)
            client = Client(site, port)
            with contextlib.closing(client.session):
                yield client
            assert process.poll() is None
            assert "request failed" not in said.read_text()
        finally:
            process.terminate()


def askable(document: Any) -> Any:
    """Return the document with values that lead somewhere: objects that may exist, bodies of a known type.

    Streams have tests of their own.
    """
    for path in document["paths"].values():
        for parameter in path.get("parameters", ()):
            choices = ["default", "none"] if parameter["name"] == "namespace" else ["web", "other"]
            parameter["schema"] = {"enum": choices}
        for operation in path.values():
            if isinstance(operation, dict):
                _narrow(operation)
    return document


def _narrow(operation: Any) -> None:
    left = ("watch", "pretty", "timeoutSeconds", "sendInitialEvents", "allowWatchBookmarks")
    operation["parameters"] = [known for known in operation["parameters"] if known["name"] not in left]
    for parameter in operation["parameters"]:
        if parameter["name"] == "fieldManager":
            parameter["schema"] = {"type": "string", "minLength": 1, "maxLength": 130}
        if parameter["name"] == "dryRun":
            parameter["schema"] = {"enum": ["All", "None"]}
        if parameter["name"] == "fieldValidation":
            parameter["schema"] = {"enum": ["Strict", "Warn", "Ignore", "No"]}
    content = operation.get("requestBody", {}).get("content", {})
    if "*/*" in content:
        content["application/json"] = content.pop("*/*")
    good = operation["responses"].get("200", operation["responses"].get("201"))["content"]["application/json"]["schema"]
    for type_ in content:
        if operation["x-kubernetes-action"] == "patch":
            listed = {"type": "array", "items": OPERATIONS[0], "maxItems": 3}
            content[type_]["schema"] = listed if type_ == "application/json-patch+json" else good


def name_body(case: schemathesis.Case, client: Client) -> None:
    """Give the body the identity that the URL asks for, so that it gets past that check."""
    if isinstance(case.body, dict) and case.operation.method != "delete":
        kind = case.operation.definition.raw["x-kubernetes-group-version-kind"]
        group = f"{kind['group']}/" if kind["group"] else ""
        case.body |= {"kind": kind["kind"], "apiVersion": group + kind["version"]}
        given = case.body.get("metadata")
        if isinstance(given, dict):
            kept = {
                key: given[key] for key in ("labels", "annotations", "finalizers", "ownerReferences") if key in given
            }
            case.body["metadata"] = {**kept, "name": case.path_parameters.get("name", "web")}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_answer_is_what_the_document_says(name: str, client: Client) -> None:
    document = client.get(f"/openapi/v3/{name}")
    schema = schemathesis.openapi.from_dict(askable(document))
    schema.config.update(base_url=client.url)
    operations = [operation.ok() for operation in schema.get_all_operations()]
    random.Random(name).shuffle(operations)
    operations.sort(key=lambda operation: operation.method not in ("post", "put", "patch"))  # writes can do most harm
    until = time.monotonic() + LARGE.get(name, SECONDS)
    for operation, mode in itertools.product(operations, GenerationMode):
        if time.monotonic() < until:
            _try(operation, mode, client)
    assert client.get("/version")["major"] == "1"


def _try(operation: Any, mode: GenerationMode, client: Client) -> None:
    @settings(
        max_examples=EXAMPLES, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(operation.as_strategy(mode))
    def ask(case: schemathesis.Case) -> None:
        name_body(case, client)
        answer = client.call(case)
        case.validate_response(answer, checks=[not_a_server_error, response_schema_conformance])
        if answer.status_code >= 400:
            status = json.loads(answer.content)
            assert (status["kind"], status["code"]) == ("Status", answer.status_code), status

    ask()


EXAMPLES = 2
