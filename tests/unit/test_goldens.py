import pytest
from goldens import check, dump


def test_a_golden_file_is_compared_and_rewritten(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "a.yaml"
    monkeypatch.delenv("ROADSTEAD_UPDATE_GOLDENS", raising=False)
    with pytest.raises(pytest.fail.Exception, match="scripts/golden --update"):
        check(path, {"a": 1})
    monkeypatch.setenv("ROADSTEAD_UPDATE_GOLDENS", "1")
    check(path, {"a": 1})
    monkeypatch.delenv("ROADSTEAD_UPDATE_GOLDENS")
    check(path, {"a": 1})
    with pytest.raises(pytest.fail.Exception, match=r"-a: 1\n\+a: 2"):
        check(path, {"a": 2})


def test_texts_of_several_lines_read_as_blocks_and_nothing_is_an_anchor():
    shared = {"x": 1}
    assert dump({"t": "a\nb\n", "one": shared, "two": shared}) == "t: |\n  a\n  b\none:\n  x: 1\ntwo:\n  x: 1\n"
