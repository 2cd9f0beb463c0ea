from pathlib import Path

import prometheus_client

from roadstead.service.processes import shared_metrics as module
from roadstead.service.processes.shared_metrics import VARIABLE, directory, forget, shared_metrics


def test_a_directory_is_made_for_the_processes_and_removed():
    with shared_metrics({"A": "b"}) as variables:
        made = variables[VARIABLE]
        assert variables["A"] == "b"
        assert directory() == made
        assert Path(made).is_dir()
    assert directory() is None
    assert not Path(made).exists()


def test_a_directory_that_was_given_is_used_and_kept(tmp_path):
    with shared_metrics({VARIABLE: str(tmp_path)}) as variables:
        assert variables[VARIABLE] == directory() == str(tmp_path)
    assert tmp_path.exists()


def test_without_the_library_nothing_is_made(monkeypatch):
    assert prometheus_client
    monkeypatch.setattr(module, "_LIBRARY", "not_imported")
    with shared_metrics({"A": "b"}) as variables:
        assert variables == {"A": "b"}
        assert directory() is None


def test_an_ended_process_leaves_its_counters_and_not_its_gauges(tmp_path):
    with shared_metrics({VARIABLE: str(tmp_path)}):
        for name in ("counter_7.db", "gauge_livesum_7.db", "gauge_livesum_8.db"):
            (tmp_path / name).touch()
        forget(7)
    forget(8)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["counter_7.db", "gauge_livesum_8.db"]
