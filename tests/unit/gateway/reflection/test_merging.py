import pytest
from gateway_objects import backend, gateway, gateway_class, grpc_route, method, rule, service, translated, virtual_host

from roadstead.gateway import ir
from roadstead.gateway.reflection.merging import Outlook, may_match, merged_services

SHOP, USER, CANARY = (f"user-platform/{name}/50051/h2" for name in ("shop", "user", "canary"))
SERVICES = {SHOP: {"shop.Shop", "old.Old"}, USER: {"user.User", "shop.Shop"}, CANARY: {"shop.Shop"}}


def outlook(**metadata: str) -> Outlook:
    on_canary = method("shop.Shop") | {"headers": [{"name": "env", "value": "canary"}]}
    route = grpc_route(
        "all",
        rule(backend("canary"), matches=[on_canary]),
        rule(backend("shop", weight=9), backend("user"), matches=[method("shop.Shop", "Get")]),
        rule(backend("user"), matches=[method("shop.Shop"), method("user.User")]),
        rule(backend("gone"), matches=[method("gone.Gone")]),
    )
    found = translated(gateway_class(), gateway(), *map(service, ("shop", "user", "canary")), route)
    return Outlook(virtual_host(found, "*"), metadata)


def test_backends_are_those_that_calls_with_this_metadata_reach() -> None:
    assert outlook().backends == (SHOP, USER)
    assert outlook(env="canary").backends == (SHOP, CANARY, USER)


def test_only_services_that_calls_can_reach_are_listed() -> None:
    assert merged_services(outlook(), SERVICES, ["own"]) == ["own", "shop.Shop", "user.User"]
    assert merged_services(outlook(), {SHOP: {"user.User"}}, []) == []


@pytest.mark.parametrize(
    ("symbol", "metadata", "first"),
    [
        ("shop.Shop", {}, SHOP),
        ("shop.Shop.Get", {}, SHOP),
        ("shop.Shop.Put", {}, USER),
        ("shop.Shop.Put", {"env": "canary"}, CANARY),
        ("user.User", {}, USER),
        ("old.Old", {}, SHOP),
        ("user.Message", {}, SHOP),
    ],
)
def test_who_is_asked_first_about_a_symbol(symbol: str, metadata: dict[str, str], first: str) -> None:
    order = outlook(**metadata).order(symbol, SERVICES)
    assert order[0] == first
    assert set(order) == set(outlook(**metadata).backends)


def test_who_answered_last_is_asked_first_about_what_is_no_service() -> None:
    assert outlook().order("", SERVICES, USER) == [USER, SHOP]
    assert outlook().order("user.Message", SERVICES, USER) == [USER, SHOP]
    assert outlook().order("shop.Shop", SERVICES, USER) == [SHOP, USER]
    assert outlook().order("", SERVICES, "other/cluster") == [SHOP, USER]


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        (ir.PathMatch("exact", "/a.B/C"), True),
        (ir.PathMatch("exact", "/a.BB/C"), False),
        (ir.PathMatch("prefix", "/a.B/"), True),
        (ir.PathMatch("prefix", "/"), True),
        (ir.PathMatch("prefix", "/a.C/"), False),
        (ir.PathMatch("regex", "/a.*/Get"), True),
    ],
)
def test_which_conditions_may_let_a_service_through(path: ir.PathMatch, answer: bool) -> None:
    assert may_match(path, "a.B") is answer
