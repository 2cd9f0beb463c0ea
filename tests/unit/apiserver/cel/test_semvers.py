import pytest

from roadstead.apiserver.cel import CelError, compile_rule

ASCENDING = [
    "1.0.0-1", "1.0.0-2", "1.0.0-11", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-rc.1",
    "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0-0", "2.0.0",
]  # fmt: skip


def test_the_order_of_versions():
    rule = compile_rule("self.map(v, semver(v)).all(i, v, self.all(j, w, v.isLessThan(semver(w)) == (i < j)))")
    assert rule(self=ASCENDING) is True


@pytest.mark.parametrize(
    "text", ["1.0", "01.0.0", "1.0.0-01", "1.0.0-", "1.0.0+", "v1.0.0", "1.0.0-a..b", "18446744073709551616.0.0"]
)
def test_what_is_no_version(text):
    assert compile_rule("isSemver(self)")(self=text) is False
    with pytest.raises(CelError):
        compile_rule("semver(self)")(self=text)


@pytest.mark.parametrize(
    ("text", "version"), [("v1", "1.0.0"), ("1.2", "1.2.0"), ("v01.002.0003", "1.2.3"), ("0.0.0", "0.0.0")]
)
def test_what_is_meant_for_a_version(text, version):
    assert compile_rule(f"semver(self, true) == semver('{version}')")(self=text) is True


def test_a_build_makes_no_difference():
    assert compile_rule("semver('1.0.0+a') == semver('1.0.0+b')")() is True
