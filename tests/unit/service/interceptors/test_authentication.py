import base64
import hashlib
from concurrent.futures import Future

import pytest
from echo_service import TAKEN
from hypothesis import given
from hypothesis import strategies as st
from validated_protos import shop

from roadstead.service.credentials.password import PasswordVerifier
from roadstead.service.identity import Identity
from roadstead.service.interceptors import Authentication, Authorization, Call
from roadstead.service.passwords import PasswordFile, PasswordRecord
from roadstead.service.policy import parse_policy
from roadstead.service.refusal import Refusal, unauthenticated

ALICE = Identity(name="alice", proof="password")
METHOD = "test.Echo/unary_unary"
RIGHT = (("username", "alice"), ("password", "wonderland"))


class Passwords:
    def __init__(self, later: bool = False) -> None:
        self.later = later

    def verify(self, claim, client):
        right = (claim.name, claim.password) == ("alice", "wonderland")
        result = ALICE if right else unauthenticated("wrong password")
        if not self.later:
            return result
        future: Future = Future()
        future.set_result(result)
        return future


class Tokens:
    def verify(self, claim):
        return Identity(name="bob", proof="token") if claim.text == "good" else unauthenticated("token")


class Connection:
    """A plain connection, as grpc tells of it."""

    def auth_context(self):
        return {}


def admitted(stage: Authentication, *metadata, method: str = METHOD) -> tuple[Refusal | None, Identity | None]:
    call = Call(method, metadata, 0.0, context=Connection(), peer="ipv4:127.0.0.1:1")
    answer = stage.admit(call)
    return (answer.result(1) if isinstance(answer, Future) else answer), call.identity


@pytest.mark.parametrize("later", [False, True])
def test_the_identity_is_the_calls(later):
    assert admitted(Authentication(Passwords(later)), *RIGHT) == (None, ALICE)


@pytest.mark.parametrize("later", [False, True])
def test_wrong_credentials_leave_no_identity(later):
    refusal, identity = admitted(Authentication(Passwords(later)), ("username", "alice"), ("password", "x"))
    assert refusal.code.name == "UNAUTHENTICATED"
    assert identity is None


def test_a_fault_of_the_check_is_passed_on():
    class Broken:
        def verify(self, claim, client):
            future: Future = Future()
            future.set_exception(OSError("disk"))
            return future

    with pytest.raises(OSError, match="disk"):
        admitted(Authentication(Broken()), *RIGHT)


def test_kinds_of_credentials():
    stage = Authentication(Passwords(), Tokens())
    basic = "Basic " + base64.b64encode(b"alice:wonderland").decode()
    assert admitted(stage, ("authorization", basic)) == (None, ALICE)
    assert admitted(stage, ("authorization", "Bearer good"))[1].name == "bob"
    assert admitted(Authentication(Passwords()), ("authorization", "Bearer good"))[0].reason == (
        "Token is not accepted here"
    )
    assert admitted(Authentication(tokens=Tokens()), *RIGHT)[0].reason == "NamePassword is not accepted here"


def test_open_methods_look_at_no_credentials():
    stage = Authentication(Passwords(), is_open=lambda method: method == METHOD)
    assert admitted(stage, ("username", "alice"), ("password", "x")) == (None, None)
    assert admitted(stage, method="test.Echo/other")[0].reason == "no credentials"


def test_health_is_open_by_default():
    assert admitted(Authentication(), method="grpc.health.v1.Health/Check") == (None, None)


_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
_METADATA = st.lists(
    st.tuples(st.sampled_from(["username", "password", "authorization", "x"]), _TEXT | st.binary(max_size=9)),
    max_size=5,
)


@given(_METADATA)
def test_no_metadata_gets_in_or_raises(metadata):
    refusal, identity = admitted(Authentication(Passwords(), Tokens()), *metadata)
    assert refusal.code.name == "UNAUTHENTICATED"
    assert identity is None


@pytest.mark.parametrize(("metadata", "code"), [
    ((), "UNAUTHENTICATED"),
    ((("username", "alice"), ("password", "x")), "UNAUTHENTICATED"),
    ((("authorization", "Bearer good"),), "PERMISSION_DENIED"),
    (RIGHT, "OK"),
    ((("username", "alice"), ("username", "alice"), ("password", "wonderland")), "UNAUTHENTICATED"),
    ((("password-bin", b"\xff\xfe"),), "UNAUTHENTICATED"),
])  # fmt: skip
@pytest.mark.parametrize("later", [False, True])
def test_over_the_wire_on_every_kind(serving, server_sort, kind, metadata, code, later):
    policy = parse_policy("{roles: {echo: [test.Echo/*]}, identities: {alice: [echo]}}")
    stages = (Authentication(Passwords(later), Tokens()), Authorization(lambda: policy))
    with serving(server_sort, *stages) as client:
        assert client.call(kind, b"hello", metadata=metadata).code == code


def test_unencrypted_credentials_from_outside_are_refused_on_every_kind(serving, server_sort, kind):
    stage = Authentication(
        Passwords(), is_open=lambda method: method.endswith("unary_unary"), is_inside=lambda peer: False
    )
    with serving(server_sort, stage) as client:
        ended = client.call(kind, b"hello", metadata=RIGHT)
        if kind == "unary_unary":
            assert ended.code == "OK", "an open method needs no credentials, so none are judged"
        else:
            assert (ended.code, "unencrypted" in ended.details) == ("UNAUTHENTICATED", True)


def file_of(**passwords: str) -> PasswordFile:
    salt = b"0123456789abcdef"
    hashes = {name: hashlib.scrypt(each.encode(), salt=salt, n=2, r=8, p=1) for name, each in passwords.items()}
    texts = {name: [base64.b64encode(part).rstrip(b"=").decode() for part in (salt, h)] for name, h in hashes.items()}
    return PasswordFile.of(PasswordRecord(name, "$scrypt$ln=1,r=8,p=1${}${}".format(*t)) for name, t in texts.items())


class Eavesdropped:
    """A password check that says when it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        file = file_of(alice="wonderland")
        self.verifier = PasswordVerifier(lambda: file)

    def verify(self, claim, client):
        self.asked.append(claim.name)
        return self.verifier.verify(claim, client)


GUESSES = (RIGHT, (("username", "alice"), ("password", "x")), (("username", "mallory"), ("password", "wonderland")))
UNENCRYPTED = ("UNAUTHENTICATED", "credentials are not accepted over an unencrypted connection")


def told(ended) -> tuple:
    return ended.code, ended.details, ended.trailing, ended.initial


@pytest.fixture
def eavesdropped():
    check = Eavesdropped()
    yield check
    check.verifier.close()


def test_from_outside_nothing_tells_a_right_password_from_a_wrong_one(serving, server_sort, kind, eavesdropped):
    inside = [False]
    stage = Authentication(eavesdropped, is_inside=lambda peer: inside[0])
    with serving(server_sort, stage) as client:
        refused = [told(client.call(kind, b"hello", metadata=guess)) for guess in GUESSES * 7]
        assert refused[0][:2] == UNENCRYPTED
        assert all(each == refused[0] for each in refused)
        assert eavesdropped.asked == [], "refused before anything is looked at"
        inside[0] = True
        assert client.call(kind, b"hello", metadata=RIGHT).code == "OK", "and nothing was counted against anybody"
        inside[0] = False
        assert told(client.call(kind, b"hello", metadata=RIGHT)) == refused[0], "also when it is remembered"


def test_nor_does_what_a_remembered_caller_may_not_do(serving, server_sort, kind, eavesdropped):
    """A method that alice may not call is refused with other words, to those who have proved to be her."""
    inside = [True]
    policy = parse_policy("{roles: {other: [test.Echo/other]}, identities: {alice: [other]}}")
    stages = (Authentication(eavesdropped, is_inside=lambda peer: inside[0]), Authorization(lambda: policy))
    with serving(server_sort, *stages) as client:
        assert client.call(kind, b"hello", metadata=RIGHT).code == "PERMISSION_DENIED"
        inside[0] = False
        refused = [told(client.call(kind, b"hello", metadata=guess)) for guess in GUESSES]
        assert refused[0][:2] == UNENCRYPTED
        assert all(each == refused[0] for each in refused)


@pytest.mark.parametrize("later", [False, True])
def test_from_outside_a_check_of_somebody_elses_is_not_asked_either(serving, server_sort, kind, later):
    with serving(server_sort, Authentication(Passwords(later), is_inside=lambda peer: False)) as client:
        refused = [told(client.call(kind, b"hello", metadata=guess)) for guess in GUESSES]
    assert refused[0][:2] == UNENCRYPTED
    assert all(each == refused[0] for each in refused)


@pytest.mark.parametrize("server", ["Server", "ThreadedServer"])
@pytest.mark.parametrize(("metadata", "seen"), [
    # A refusal of ours comes too late for this call; a thread does not hear of that.
    ((("username", "alice"), ("password", "x" * 40_000)), {"UNAUTHENTICATED", "CANCELLED"}),
    ((*RIGHT, ("x", "x" * 40_000)), {"CANCELLED"}),
])  # fmt: skip
def test_what_grpc_itself_refuses_is_seen_without_what_was_too_much(serving, server, kind, recorder, metadata, seen):
    with serving(server, recorder, Authentication(Passwords())) as client:
        assert client.call(kind, b"hello", metadata=metadata).code == "RESOURCE_EXHAUSTED"
        ((method, code),) = recorder.wait(1)
        assert method == f"test.Echo/{kind}"
        assert code in seen
        assert client.call(kind, b"hello", metadata=RIGHT).code == "OK", "on the same connection"


OWNERS = """
roles:
  owner:
    - {methods: [test.Echo/*], when: {request: {id: "{identity}", address.country: [DE, FR]}, metadata: {env: canary}}}
identities: {alice: [owner]}
"""


def order(name: str, country: str) -> bytes:
    return shop("Order")(id=name, address={"country": country}).SerializeToString()


@pytest.mark.parametrize(("request_bytes", "env", "code"), [
    (order("alice", "DE"), "canary", "OK"),
    (order("alice", "FR"), "canary", "OK"),
    (order("bob", "DE"), "canary", "PERMISSION_DENIED"),
    (order("alice", "US"), "canary", "PERMISSION_DENIED"),
    (order("alice", "DE"), "test", "PERMISSION_DENIED"),
    (b"", "canary", "PERMISSION_DENIED"),
])  # fmt: skip
def test_a_rule_about_the_request_is_enforced_on_every_kind(serving, server_sort, kind, request_bytes, env, code):
    policy = parse_policy(OWNERS)
    stages = (Authentication(Passwords()), Authorization(lambda: policy))
    with serving(server_sort, *stages, parse=shop("Order").FromString) as client:
        ended = client.call(kind, request_bytes, metadata=(*RIGHT, ("env", env)))
    assert ended.code == code
    if code != "OK":
        assert ended.details == f"not allowed to call test.Echo/{kind}", "a caller learns no rules"


@pytest.mark.parametrize(("allowed", "metadata", "code"), [
    ("test.Echo/*", RIGHT, "UNIMPLEMENTED"),
    ("test.Echo/unary_unary", RIGHT, "PERMISSION_DENIED"),
    ("test.Echo/*", (), "UNAUTHENTICATED"),
])  # fmt: skip
def test_only_who_might_call_a_method_hears_that_it_is_not_there(serving, server_sort, allowed, metadata, code):
    policy = parse_policy(f"{{roles: {{all: [{allowed}]}}, groups: {{}}, identities: {{alice: [all]}}}}")
    stages = (Authentication(Passwords()), Authorization(lambda: policy))
    with serving(server_sort, *stages) as client:
        assert client.call("unary_unary", b"x", method="Nothing", metadata=metadata).code == code


@pytest.mark.parametrize("kind", ["stream_unary", "stream_stream"])
def test_a_later_message_of_somebody_else_ends_a_stream(serving, server_sort, kind):
    policy = parse_policy(OWNERS)
    stages = (Authentication(Passwords()), Authorization(lambda: policy))
    with serving(server_sort, *stages, parse=shop("Order").FromString) as client:
        requests = (order("alice", "DE"), order("bob", "DE"), order("alice", "DE"))
        assert client.call(kind, *requests, metadata=(*RIGHT, ("env", "canary"))).code == "PERMISSION_DENIED"
    (taken,) = TAKEN
    assert taken == shop("Order").FromString(requests[0])
