"""`roadstead explain request` against a whole cluster: live objects become an answer for people and for programs."""

import json

import pytest
from e2e import small_system as small
from e2e.commands import Commands, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
NAME = "explain-test"
LOST = {**small.http_route(), "metadata": {"name": "lost", "namespace": "default"}}
LOST["spec"] = {
    **LOST["spec"],
    "hostnames": ["lost.example.com"],
    "rules": [{"backendRefs": [{"name": "x", "port": 1}]}],
}


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    home = tmp_path_factory.mktemp("explain")
    commands = Commands(home)
    folder = small.write(home / "project", [*small.whole(), small.gateway("secure", secret="gateway-tls"), LOST])
    (folder / "roadstead.toml").write_text(small.PROJECT)
    commands.run("roadstead", "up", str(folder), "--name", NAME, "--detach", "--timeout", "60")
    yield commands
    commands.roadstead("down", "--name", NAME)


def explained(commands: Commands, *arguments: str):
    return json.loads(commands.roadstead("explain", "request", *arguments, "--name", NAME, "-o", "json"))


def test_a_request_is_told_its_rule_and_its_pod(commands) -> None:
    [told] = eventually(
        lambda: explained(commands, "http://echo.example.com/anything"),
        lambda seen: bool(seen and seen[0]["outcomes"][0].get("backends", [{}])[0].get("endpoints")),
    )
    assert told["gateway"] == "Gateway default/gateway"
    [outcome] = told["outcomes"]
    assert outcome["rule"] == "HTTPRoute default/to-echo rule 0"
    [endpoint] = outcome["backends"][0]["endpoints"]
    assert endpoint["address"].endswith(":8080")
    assert endpoint["pod"].startswith("echo-")


def test_a_missing_backend_is_what_the_caller_gets(commands) -> None:
    [told] = explained(commands, "http://lost.example.com/", "-X", "POST")
    assert told["outcomes"][0]["answer"]["status"] == 500
    assert told["request"]["method"] == "POST"


def test_the_text_is_for_people(commands) -> None:
    text = commands.roadstead("explain", "request", "http://echo.example.com/", "--name", NAME)
    assert "HTTPRoute default/to-echo rule 0" in text
    assert "default/echo:80" in text


def test_what_is_no_url_is_the_callers_mistake(commands) -> None:
    done = commands.run("roadstead", "explain", "request", "echo.example.com", "--name", NAME)
    assert done.returncode == 2
    assert "grpcs://HOST/SERVICE/METHOD" in done.stderr


def test_a_port_where_nobody_listens(commands) -> None:
    done = commands.run("roadstead", "explain", "request", "http://echo.example.com:81/", "--name", NAME)
    assert done.returncode == 1
    assert "port 81" in done.stderr
