"""What a policy has against a request: conditions, variables, validations, messages, failures."""

import pytest

from roadstead.apiserver.admission.policies.evaluation import Denial, denials
from roadstead.apiserver.admission.policies.policy import Policy
from roadstead.apiserver.cel import Budget
from roadstead.apiserver.cel.authorizer import Answer, Authorizer, Wanted

OBJECT = {"metadata": {"name": "web"}, "spec": {"replicas": 7, "image": "web:1"}}
TOO_MANY = "object.spec.replicas <= 5"
BROKEN = "object.spec.missing == 1"
PROBLEM = f"expression '{BROKEN}' resulted in error: no such key: missing"


def may(wanted: Wanted) -> Answer:
    return Answer(wanted.verb == "create" and wanted.group == "apps", "says who")


FACTS = {
    "object": OBJECT,
    "oldObject": None,
    "request": {"operation": "CREATE", "userInfo": {"username": "jane"}},
    "params": {"data": {"most": "5"}},
    "namespaceObject": {"metadata": {"name": "shop", "labels": {"env": "prod"}}},
    "authorizer": Authorizer(may, Wanted(group="apps", resource="deployments", namespace="shop", name="web")),
}


def against(*validations, limit=1_000_000, **spec) -> list[Denial]:
    rules = [each if isinstance(each, dict) else {"expression": each} for each in validations]
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    policy = Policy.of({"metadata": {"name": "p"}, "spec": {"paramKind": kind, "validations": rules, **spec}})
    return denials(policy, FACTS, Budget(limit))


def test_what_holds_is_no_reason():
    assert against("object.spec.replicas <= 10", "oldObject == null", "request.operation == 'CREATE'") == []


def test_every_rule_that_does_not_hold_is_one():
    found = against(TOO_MANY, "true", {"expression": "false", "message": " not today ", "reason": "Forbidden"})
    assert found == [Denial(f"failed expression: {TOO_MANY}"), Denial("not today", "Forbidden")]


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("'at most ' + params.data.most", "at most 5"),
        ("'  '", "fallback"),
        ("'a\\nb'", "fallback"),
        ("object.spec.missing", "fallback"),
        ("object.spec.replicas", "fallback"),
    ],
)
def test_a_message_may_be_made_of_the_request(message, told):
    rule = {"expression": TOO_MANY, "messageExpression": message, "message": "fallback"}
    assert against(rule) == [Denial(told)]


def test_a_rule_without_a_value_counts_as_the_failure_policy_says():
    assert against(BROKEN, TOO_MANY) == [Denial(PROBLEM), Denial(f"failed expression: {TOO_MANY}")]
    assert against(BROKEN, TOO_MANY, failurePolicy="Ignore") == [Denial(f"failed expression: {TOO_MANY}")]


def test_a_rule_that_cannot_be_compiled_any_more_counts_likewise():
    (denial,) = against("object.spec.replicas <=")
    assert denial.message.startswith("compilation error: ")
    assert against("object.spec.replicas <=", failurePolicy="Ignore") == []


def test_conditions_decide_whether_a_policy_looks_at_all():
    holds, fails, broken = ({"name": "c", "expression": text} for text in ("true", "false", BROKEN))
    assert against("false", matchConditions=[holds, fails]) == []
    assert against("false", matchConditions=[holds]) != []
    assert against("false", matchConditions=[broken, fails]) == [], "one that is false decides"
    assert against("true", matchConditions=[broken, holds]) == [Denial(PROBLEM)]
    assert against("false", matchConditions=[broken, holds], failurePolicy="Ignore") == []


def test_variables_are_made_of_others_and_only_when_they_are_needed():
    variables = [
        {"name": "most", "expression": "int(params.data.most)"},
        {"name": "free", "expression": "variables.most - object.spec.replicas"},
        {"name": "broken", "expression": BROKEN},
    ]
    assert against("variables.free == -2", "has(variables.most)", variables=variables) == []
    (denial,) = against("variables.broken", variables=variables)
    assert denial.message.endswith(f'composited variable "broken" fails to evaluate: {PROBLEM}')


def test_a_variable_that_needs_itself_has_no_value():
    (denial,) = against("variables.a", variables=[{"name": "a", "expression": "variables.a"}])
    assert "no such key: a" in denial.message


def test_rules_may_ask_who_may_do_what():
    assert against(
        "authorizer.requestResource.check('create').allowed()",
        "!authorizer.requestResource.check('delete').allowed()",
        "authorizer.group('apps').resource('deployments').namespace('shop').check('create').reason() == 'says who'",
        "!authorizer.group('').resource('pods').subresource('exec').name('x').check('create').allowed()",
        "!authorizer.path('/healthz').check('get').allowed()",
        "!authorizer.serviceAccount('shop', 'robot').group('apps').resource('pods').check('get').allowed()",
        "!authorizer.requestResource.check('create').errored()",
    ) == []  # fmt: skip


@pytest.mark.parametrize(
    "nonsense", ["authorizer.check('get')", "authorizer.group('').check('get')", "object.allowed()"]
)
def test_questions_in_the_wrong_order_have_no_value(nonsense):
    (denial,) = against(f"{nonsense} == true")
    assert denial.message.endswith("no such overload")


def test_what_costs_too_much_is_given_up():
    costly = "[1, 2, 3, 4, 5, 6, 7, 8, 9].all(i, [1, 2, 3, 4, 5, 6, 7, 8, 9].all(j, i * j > 0))"
    exhausted = "validation failed due to running out of cost budget, no further validation rules will be run"
    assert against(costly, costly, limit=100) == [Denial(exhausted)]
    assert against(costly, limit=100, failurePolicy="Ignore") == []
    assert against(costly) == []
