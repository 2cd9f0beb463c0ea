"""How a Gateway's Envoys are run: a ConfigMap that the GatewayClass or the Gateway names."""

import json
from pathlib import Path

import pytest
from gateway_objects import GATEWAY, NAMESPACE, PROXY, gateway, gateway_class, resources, status_of
from hypothesis import given
from hypothesis import strategies as st

from roadstead.api.conditions import find_condition
from roadstead.gateway.ir import Parameters
from roadstead.gateway.translate import translate
from roadstead.gateway.translate.parameters import PARAMETERS, parameters_of
from roadstead.gateway.translate.problem import Problem

DOCS = Path(__file__).parents[4] / "docs/gateway.md"


def config_map(name="envoys", namespace=NAMESPACE, **data):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "uid": name},
        "data": data,
    }


def reference(name="envoys", **more):
    return {"group": "", "kind": "ConfigMap", "name": name, **more}


def with_own(name="envoys", **more):
    return gateway(infrastructure={"parametersRef": reference(name, **more)})


def of_class(name="for-all", namespace="infra"):
    made = gateway_class()
    made["spec"]["parametersRef"] = reference(name, namespace=namespace)
    return made


def read(*objects):
    found = resources([*objects])
    return parameters_of(found.gateways[GATEWAY], NAMESPACE, found)


def test_nothing_is_stated():
    assert read(gateway_class(), gateway()) == Parameters()


def test_every_key():
    stated = config_map(
        replicas="3",
        resources="limits: {memory: 1Gi}\nrequests: {cpu: 100m, memory: 256Mi}",
        concurrency="2",
        drainSeconds="300",
        accessLog="false",
        logLevel="debug",
        image="registry.example.com/envoy:2",
        nodeSelector="disk: fast",
        tolerations="[{key: edge, operator: Exists}]",
        affinity="podAntiAffinity: {}",
        topologySpreadConstraints="[]",
        priorityClassName="high",
    )
    found = read(gateway_class(), with_own(), stated)
    assert isinstance(found, Parameters), found
    assert set(stated["data"]) == {one.key for one in PARAMETERS}
    assert (found.replicas, found.concurrency, found.drain_seconds, found.access_log) == (3, 2, 300, False)
    assert json.loads(found.resources)["requests"] == {"cpu": "100m", "memory": "256Mi"}
    assert dict(found.scheduling)["tolerations"] == '[{"key": "edge", "operator": "Exists"}]'


def test_the_gateways_own_go_before_those_of_its_class_key_by_key():
    of_all = config_map("for-all", "infra", replicas="2", concurrency="4", nodeSelector="{a: b}")
    found = read(of_class(), with_own(), of_all, config_map(replicas="5", priorityClassName="high"))
    scheduling = (("nodeSelector", '{"a": "b"}'), ("priorityClassName", "high"))
    assert found == Parameters(replicas=5, concurrency=4, scheduling=scheduling)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("replicas", "two", "data.replicas: 'two' is not a number from 0 to 1000"),
        ("replicas", "-1", "'-1'"),
        ("replicas", "1001", "'1001'"),
        ("replica", "2", "data.replica: there is no such parameter; did you mean replicas?"),
        ("quux", "2", "there are replicas, resources,"),
        ("resources", "memory: 1Gi", "limits and requests"),
        ("resources", "limits: {memory: much}", "limits and requests"),
        ("resources", "limits: {cpu: 100m}\nrequests: {cpu: 1}", "limits and requests"),
        ("resources", "limits: [1]", "limits and requests"),
        ("concurrency", "0", "from 1 to 1024"),
        ("drainSeconds", "1h", "a number of seconds"),
        ("accessLog", "yes", "true or false"),
        ("logLevel", "loud", "one of trace, "),
        ("image", "two words", "the name of an image"),
        ("nodeSelector", "a: 1", "labels of nodes"),
        ("nodeSelector", "{a: b", "labels of nodes"),
        ("tolerations", "key: edge", "a list of tolerations"),
        ("affinity", "2026-11-22", "an affinity"),
        ("affinity", "day: 2026-11-22", "an affinity"),
        ("affinity", "[" * 5000, "an affinity"),
    ],
)
def test_what_means_nothing_is_told(key, value, told):
    found = read(gateway_class(), with_own(), config_map(**{key: value}))
    assert isinstance(found, Problem)
    assert found.reason == "InvalidParameters"
    assert found.message.startswith(f"ConfigMap {NAMESPACE}/envoys: data.{key}: ")
    assert told in found.message


def test_all_that_is_wrong_is_told_at_once():
    found = read(gateway_class(), with_own(), config_map(replicas="x", concurrency="y"))
    assert isinstance(found, Problem)
    assert "data.replicas" in found.message
    assert "data.concurrency" in found.message


@given(st.dictionaries(st.sampled_from([one.key for one in PARAMETERS]), st.text(max_size=40)))
def test_no_text_makes_it_raise(data):
    read(gateway_class(), with_own(), config_map(**data))


def accepted(translation, kind, name):
    found = find_condition(status_of(translation, kind, name)["conditions"], "Accepted")
    return found["status"], found["reason"], found["message"]


def test_a_missing_config_map_is_told_and_the_gateway_is_served_all_the_same():
    translation = translate(resources([gateway_class(), with_own("gone")]))
    told = f"spec.infrastructure.parametersRef: ConfigMap {NAMESPACE}/gone does not exist"
    assert accepted(translation, "Gateway", GATEWAY.name) == ("False", "InvalidParameters", told)
    proxy = translation.proxies[PROXY]
    assert proxy.listeners
    assert proxy.workload.parameters is None


def test_parameters_of_a_class_that_mean_nothing_are_told_there_and_at_its_gateways():
    translation = translate(resources([of_class(), gateway(), config_map("for-all", "infra", replicas="x")]))
    message = "ConfigMap infra/for-all: data.replicas: 'x' is not a number from 0 to 1000"
    assert accepted(translation, "GatewayClass", "roadstead") == ("False", "InvalidParameters", message)
    status, reason, told = accepted(translation, "Gateway", GATEWAY.name)
    assert (status, reason, told) == ("False", "InvalidParameters", f"GatewayClass roadstead: {message}")


def test_another_kind_is_not_read():
    found = read(gateway_class(), with_own(kind="Parameters", group="example.com"))
    assert isinstance(found, Problem)
    assert "Parameters envoys is not a kind that Roadstead reads; use a ConfigMap" in found.message


def test_the_docs_name_every_key():
    text = DOCS.read_text()
    assert [one.key for one in PARAMETERS if f"| `{one.key}` |" not in text] == []
