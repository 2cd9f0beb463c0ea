"""The downward API's resources, and classes of service."""

from roadstead.node.container_resources import container_resource, quality_of_service


def test_resources_are_counted_in_divisors_and_rounded_up():
    container = {"resources": {"limits": {"cpu": "1500m", "memory": "100Mi"}}}
    assert container_resource({"resource": "limits.cpu"}, container) == "2"
    assert container_resource({"resource": "limits.memory", "divisor": "1Mi"}, container) == "100"
    assert container_resource({"resource": "limits.memory", "divisor": 1}, container) == str(100 * 2**20)
    assert container_resource({"resource": "requests.cpu"}, container) == "0"
    assert container_resource({"resource": "limits.cpu"}, {"resources": {"limits": {"cpu": "lots"}}}) == "0"


def test_classes_of_service():
    def pod(*resources):
        return {"spec": {"containers": [{"resources": one} for one in resources]}}

    full = {"limits": {"cpu": "1", "memory": "1Gi"}}
    assert quality_of_service(pod({}, {})) == "BestEffort"
    assert quality_of_service(pod(full)) == "Guaranteed"
    assert quality_of_service(pod({**full, "requests": {"cpu": "1", "memory": "1024Mi"}})) == "Guaranteed"
    assert quality_of_service(pod(full, {})) == "Burstable"
    assert quality_of_service(pod({**full, "requests": {"cpu": "500m"}})) == "Burstable"
