"""When probes are due and what their results mean."""

from roadstead.node.probes import Probe, Purpose, Tally, Verdict, probes_of, resolve_port


def probe(purpose: Purpose = Purpose.READINESS, **fields) -> Probe:
    return Probe(purpose, "grpc", {"port": 1}, **fields)


def test_the_manifest_is_read_with_kubernetes_defaults():
    container = {
        "livenessProbe": {"grpc": {"port": 50051}, "initialDelaySeconds": 3, "terminationGracePeriodSeconds": 0},
        "readinessProbe": {"httpGet": {"port": "http"}, "failureThreshold": 1},
        "startupProbe": {},
    }
    readiness, liveness = probes_of(container)
    assert readiness == Probe(Purpose.READINESS, "httpGet", {"port": "http"}, failures=1)
    assert liveness == Probe(Purpose.LIVENESS, "grpc", {"port": 50051}, delay=3, grace=0)


def test_failures_in_a_row_count_on_the_schedule_of_the_manifest():
    tally = Tally(probe(Purpose.LIVENESS, delay=5, period=10, failures=3), since=100)
    asked = []
    for success in (True, False, False, True, False, False, False):
        assert tally.verdict is not Verdict.FAILED
        asked.append(tally.due())
        assert tally.note(success, tally.due())
    assert asked == [105, 115, 125, 135, 145, 155, 165]
    assert tally.verdict is Verdict.FAILED


def test_a_readiness_probe_is_asked_early_and_an_early_failure_does_not_count():
    tally = Tally(probe(period=10, failures=2), since=0)
    assert tally.due() == 0
    tally.note(False, 0)
    times = []
    while (due := tally.due()) < 10:
        assert not tally.note(False, due)
        times.append(round(due, 2))
    assert times[:4] == [0.05, 0.11, 0.18, 0.27]
    assert tally.verdict is Verdict.UNKNOWN
    assert tally.note(False, 10)
    assert tally.verdict is Verdict.FAILED


def test_an_early_success_counts_at_once_and_the_schedule_goes_on():
    tally = Tally(probe(period=10), since=0)
    tally.note(False, 0)
    assert tally.note(True, 0.2)
    assert tally.verdict is Verdict.PASSED
    assert tally.due() == 10


def test_several_successes_are_not_hurried():
    tally = Tally(probe(period=10, successes=2), since=0)
    tally.note(True, 0)
    assert (tally.verdict, tally.due()) == (Verdict.UNKNOWN, 10)
    tally.note(True, 10)
    assert tally.verdict is Verdict.PASSED


def test_a_late_answer_does_not_make_probes_pile_up():
    tally = Tally(probe(Purpose.LIVENESS, period=1), since=0)
    tally.note(True, 5.5)
    assert tally.due() == 6


def test_ports_are_numbers_or_names():
    container = {"ports": [{"name": "grpc", "containerPort": 50051}]}
    assert [resolve_port(port, container) for port in (80, "81", "grpc", "none", None)] == [80, 81, 50051, None, None]
