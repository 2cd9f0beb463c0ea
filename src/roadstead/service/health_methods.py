"""Which methods are health's: Kubernetes' gRPC probes call them without credentials, often, and must get an answer.

So they are open to anybody, count towards no limit, and are kept out of logs and traces. `health.py` serves them.
"""

SERVICE_NAME = "grpc.health.v1.Health"
_METHODS = f"{SERVICE_NAME}/"


def is_health(method: str) -> bool:
    """Tell whether `package.Service/Method` is one of health's."""
    return method.startswith(_METHODS)
