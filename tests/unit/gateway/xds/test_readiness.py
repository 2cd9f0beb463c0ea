from roadstead.gateway.xds.messages import as_json
from roadstead.gateway.xds.readiness import readiness_listener


def test_the_readiness_listener(golden):
    message = readiness_listener("0.0.0.0", statistics=True)
    golden("listener-ready", as_json(message))


def test_without_an_admin_interface_there_are_no_statistics():
    assert "/stats/prometheus" not in str(readiness_listener("127.0.0.1"))
