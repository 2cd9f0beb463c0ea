from roadstead.lib.retry import Backoff


def test_pauses_double_up_to_the_limit():
    backoff = Backoff(0.1, 0.5)
    assert [backoff.failed("a") for _ in range(5)] == [0.1, 0.2, 0.4, 0.5, 0.5]
    assert backoff.failures("a") == 5


def test_keys_fail_for_themselves_and_success_forgets():
    backoff = Backoff(0.1, 0.5)
    backoff.failed("a")
    assert backoff.failed("b") == 0.1
    backoff.succeeded("a")
    backoff.succeeded("never seen")
    assert backoff.failed("a") == 0.1


def test_ten_thousand_failures_do_not_overflow():
    backoff = Backoff(1.0, 30.0)
    assert {backoff.failed("a") for _ in range(10_000)} == {1.0, 2.0, 4.0, 8.0, 16.0, 30.0}
