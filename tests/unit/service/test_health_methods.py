import pytest

from roadstead.service.health_methods import is_health


@pytest.mark.parametrize(("method", "answer"), [
    ("grpc.health.v1.Health/Check", True),
    ("grpc.health.v1.Health/Watch", True),
    ("grpc.health.v1.Healthy/Check", False),
    ("com.example.User/Check", False),
    ("my.grpc.health.v1.Health/Check", False),
])  # fmt: skip
def test_what_probes_ask(method, answer):
    assert is_health(method) is answer
