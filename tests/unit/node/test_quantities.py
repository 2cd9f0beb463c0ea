"""Quantities, the downward API's resources, and classes of service."""

from decimal import Decimal

import pytest

from roadstead.node.quantities import container_resource, parse_quantity, quality_of_service


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("500m", Decimal("0.5")), ("2", 2), (3, 3), ("64Mi", 64 * 2**20), ("1.5Gi", 3 * 2**29), ("1e3", 1000),
        ("10k", 10_000), ("0", 0), ("lots", None), ("", None), ("5Q", None), ("inf", None),
    ],
)  # fmt: skip
def test_quantities_are_read(text, number):
    assert parse_quantity(text) == number


def test_resources_are_counted_in_divisors_and_rounded_up():
    container = {"resources": {"limits": {"cpu": "1500m", "memory": "100Mi"}}}
    assert container_resource({"resource": "limits.cpu"}, container) == "2"
    assert container_resource({"resource": "limits.memory", "divisor": "1Mi"}, container) == "100"
    assert container_resource({"resource": "requests.cpu"}, container) == "0"


def test_classes_of_service():
    def pod(*resources):
        return {"spec": {"containers": [{"resources": one} for one in resources]}}

    full = {"limits": {"cpu": "1", "memory": "1Gi"}}
    assert quality_of_service(pod({}, {})) == "BestEffort"
    assert quality_of_service(pod(full)) == "Guaranteed"
    assert quality_of_service(pod({**full, "requests": {"cpu": "1", "memory": "1024Mi"}})) == "Guaranteed"
    assert quality_of_service(pod(full, {})) == "Burstable"
    assert quality_of_service(pod({**full, "requests": {"cpu": "500m"}})) == "Burstable"
