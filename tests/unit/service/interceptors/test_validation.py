import importlib
import subprocess
import sys

import grpc
import pytest
from echo_service import TAKEN, sync_handlers
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from structlog.testing import capture_logs
from validated_protos import descriptors, shop

from roadstead.service import details, standard_stages
from roadstead.service.interceptors import Authorization, Call, Errors, Stage
from roadstead.service.interceptors.validation import Validation
from roadstead.service.refusal import Refusal

VALID = {"id": "7", "emails": ["a@b.example"], "count": 2}


def order(**changes):
    return shop("Order")(**{**VALID, **changes})


def judge(message, stage=None) -> Refusal | None:
    call = Call("test.Shop/Do", (), 0.0)
    assert (stage or Validation()).enter(call) is None
    return call.judge_request(call, message)


def violations(refusal: Refusal) -> dict[str, tuple[str, str]]:
    (bad,) = refusal.details
    return {each.field: (each.reason, each.description) for each in bad.field_violations}


def test_what_keeps_the_rules_goes_on():
    assert judge(order()) is None


def test_every_broken_rule_is_told_with_its_field():
    wrong = order(emails=["a@b.example", "nobody"], count=101)
    wrong.address.country = "DEU"
    wrong.places["home"].country = "?"
    refusal = judge(wrong)
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert violations(refusal) == {
        "": ("even", "the count is even"),
        "emails[1]": ("string.email", "must be a valid email address"),
        "address.country": ("string.len", "must be 2 characters"),
        "count": ("int32.lte", "must be less than or equal to 100"),
        'places["home"].country': ("string.len", "must be 2 characters"),
    }
    assert refusal.message == "invalid request: the count is even (and 4 more)"


def test_the_log_learns_rules_and_no_values():
    wrong = order(emails=["secret"])
    wrong.places["a key that is much too secret"].country = "DE"
    refusal = judge(wrong)
    assert refusal.reason == "invalid request: emails (string.email), places (string.max_len)"
    assert ("string.max_len", "key: must be at most 20 characters") in violations(refusal).values()


def test_of_a_large_message_only_the_first_fault_is_looked_for():
    refusal = judge(order(emails=["x"] * 5000))
    assert list(violations(refusal)) == ["emails[0]"]


def test_long_keys_and_many_faults_do_not_keep_the_answer_from_arriving():
    wrong = order(emails=["x"] * 400)
    wrong.places["ä" * 1000].country = "DE"
    metadata = judge(wrong).trailing_metadata
    assert len(dict(metadata)["grpc-status-details-bin"]) <= details.MOST_DETAILS


def test_without_the_extra_for_details_it_says_it_in_words(monkeypatch):
    monkeypatch.setattr(details, "available", lambda: False)
    refusal = judge(order(emails=["x"]))
    assert refusal.message == "invalid request: emails[0]: must be a valid email address"
    assert refusal.trailing_metadata == ()


@pytest.mark.parametrize("message", [b"bytes", shop("Plain")(id="x"), None])
def test_what_has_no_rules_goes_on(message):
    assert judge(message) is None


@pytest.mark.parametrize(("name", "fields"), [("Uncompilable", {}), ("Stumbling", {"count": 0})])
def test_rules_at_fault_are_the_servers_mistake(name, fields):
    with pytest.raises(Exception, match=r"failed to compile|divide by zero"):
        judge(shop(name)(**fields))


def test_a_panic_of_the_validator_is_an_ordinary_error():
    class PanicException(BaseException):
        pass

    class Panicking:
        def collect_violations(self, message, *, fail_fast):
            raise PanicException("index out of bounds")

    with pytest.raises(RuntimeError, match="index out of bounds"):
        judge(order(), Validation(Panicking()))


def test_policy_and_validation_both_judge_the_policy_first():
    asked = []

    class Judging(Stage):
        def enter(self, call):
            call.judge_by(lambda call, message: asked.append(message) or (REFUSAL if message == "no" else None))

    call = Call("test.Shop/Do", (), 0.0)
    for stage in (Judging(), Validation(), Judging()):
        stage.enter(call)
    assert call.judge_request(call, "no") is REFUSAL
    assert call.judge_request(call, order(emails=["x"])).code is grpc.StatusCode.INVALID_ARGUMENT
    assert call.judge_request(call, "yes") is None
    assert asked == ["no", order(emails=["x"]), "yes", "yes"]


REFUSAL = Refusal(grpc.StatusCode.PERMISSION_DENIED, "no")


def test_standard_stages_validate_last(tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text("anonymous: [test.Shop/Do]")
    stages = standard_stages(policy=policy, validation=True)
    assert [type(stage) for stage in stages[-2:]] == [Authorization, Validation]
    assert not any(isinstance(stage, Validation) for stage in standard_stages(policy=policy))


def test_at_the_start_rules_that_cannot_be_compiled_are_said():
    parsers = {name: shop(name).FromString for name in ("Order", "Uncompilable", "Stumbling")} | {"Raw": None}
    handlers = {name: sync_handlers(parse)["unary_unary"] for name, parse in parsers.items()}
    with capture_logs() as logs:
        Validation().begin({"test.Shop": handlers, "of.no.Interest": ("Method",)})
    said = [log for log in logs if log["log_level"] == "error"]
    assert [log["method"] for log in said] == ["test.Shop/Uncompilable"]
    assert "Syntax error" in said[0]["problem"]


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "protovalidate", None)
    monkeypatch.delitem(sys.modules, "roadstead.service.interceptors.validation")
    with pytest.raises(ModuleNotFoundError, match=r"roadstead\[validation\]"):
        importlib.import_module("roadstead.service.interceptors.validation")


def test_modules_that_protoc_generates_are_judged_like_any(tmp_path):
    (tmp_path / "all.binpb").write_bytes(descriptors())
    sources = ("shop.proto", "buf/validate/validate.proto")
    protoc = [sys.executable, "-m", "grpc_tools.protoc", "--descriptor_set_in=all.binpb", "--python_out=.", *sources]
    subprocess.run(protoc, cwd=tmp_path, check=True)
    program = (
        "from shop_pb2 import Order\n"
        "from roadstead.service.interceptors import Call\n"
        "from roadstead.service.interceptors.validation import Validation\n"
        "call = Call('test.Shop/Do', (), 0.0)\n"
        "Validation().enter(call)\n"
        "assert call.judge_request(call, Order(id='7')) is None\n"
        "print(call.judge_request(call, Order(count=2)).message)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout == "invalid request: id: must be at least 1 characters\n"


@pytest.fixture
def taken():
    return TAKEN


def encoded(*messages) -> list[bytes]:
    return [message.SerializeToString() for message in messages]


def test_handlers_get_only_what_keeps_the_rules(serving, server_sort, kind, recorder, taken):
    with serving(server_sort, recorder, Errors(), Validation(), parse=shop("Order").FromString) as client:
        assert client.call(kind, *encoded(order())).code == "OK"
        count = len(taken)
        assert taken[0] == order()
        ended = client.call(kind, *encoded(order(id="")))
        assert (ended.code, ended.details) == ("INVALID_ARGUMENT", "invalid request: id: must be at least 1 characters")
        assert recorder.wait(2)[1] == (f"test.Echo/{kind}", "INVALID_ARGUMENT")
    (bad,) = Status.FromString(ended.trailing["grpc-status-details-bin"]).details
    assert bad.Is(BadRequest.DESCRIPTOR)
    assert len(taken) == count


@pytest.mark.parametrize("kind", ["stream_unary", "stream_stream"])
def test_a_later_message_ends_a_stream(serving, server_sort, kind, taken):
    with serving(server_sort, Errors(), Validation(), parse=shop("Order").FromString) as client:
        messages = encoded(order(), order(count=4), order(count=3), order(count=6))
        assert client.call(kind, *messages).code == "INVALID_ARGUMENT"
    assert taken == [order(), order(count=4)]


@pytest.mark.parametrize(("name", "fields"), [("Uncompilable", {"id": "x"}), ("Stumbling", {"count": 0})])
def test_a_server_outlives_rules_at_fault(serving, server_sort, kind, name, fields, taken):
    with capture_logs() as logs, serving(server_sort, Errors(), Validation(), parse=shop(name).FromString) as client:
        for _ in range(2):
            ended = client.call(kind, *encoded(shop(name)(**fields)))
            assert ended.code == "INTERNAL"
            assert "its id is" in ended.details
    assert [log["event"] for log in logs] == ["handler failed"] * 2
    assert taken == []
