from concurrent.futures import ThreadPoolExecutor

from hypothesis import example, given
from hypothesis import strategies as st

from roadstead.service.credentials.cache import VerifiedCache
from roadstead.service.identity import Identity

ALICE = Identity(name="alice", proof="password")


def test_a_success_is_remembered_for_its_lifetime():
    cache = VerifiedCache(lifetime=10)
    key = cache.key("w", ("alice",))
    assert cache.get(key, 0) is None
    cache.put(key, ALICE, 0)
    assert cache.get(key, 9.9) == ALICE
    assert cache.get(key, 10) is None
    assert cache.get(key, 0) is None, "what has expired is gone"


def test_a_credential_that_expires_sooner_is_forgotten_sooner():
    cache = VerifiedCache(lifetime=10)
    key = cache.key("w", ())
    cache.put(key, ALICE, 0, lifetime=3)
    assert cache.get(key, 3) is None


def test_it_holds_only_so_much():
    cache = VerifiedCache(capacity=3)
    keys = [cache.key(str(number), ()) for number in range(10)]
    for key in keys:
        cache.put(key, ALICE, 0)
    assert [key for key in keys if cache.get(key, 0)] == keys[7:]


def test_two_processes_have_different_keys():
    assert VerifiedCache().key("w", ()) != VerifiedCache().key("w", ())


_TEXTS = st.text(alphabet=st.sampled_from("a(',)\0\\") | st.characters())
_CREDENTIALS = st.tuples(_TEXTS, st.lists(_TEXTS, max_size=3).map(tuple))


@given(_CREDENTIALS, _CREDENTIALS)
@example(("", ()), ("", ("",)))
@example(("a", ("b",)), ("ab", ("",)))
@example(("\ud800", ()), ("\\ud800", ()))
def test_different_credentials_have_different_keys(one, other):
    cache = VerifiedCache()
    assert (cache.key(*one) == cache.key(*other)) is (one == other)


def test_nothing_of_a_password_is_kept():
    cache = VerifiedCache()
    cache.put(cache.key("w0nd3rland", ("alice",)), ALICE, 0)
    assert b"w0nd3rland" not in repr(cache._entries).encode()


def test_threads_may_fill_it_at_once():
    cache = VerifiedCache(capacity=3)

    def fill(name: str) -> None:
        for number in range(500):
            key = cache.key(str(number), (name,))
            cache.put(key, Identity(name, "password"), number)
            cache.get(key, number + 1000)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fill, "abcd"))
    assert len(cache._entries) <= 3
