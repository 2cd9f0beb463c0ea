from roadstead.api.objects import ObjectKey
from roadstead.client.cache import Cache
from roadstead.client.watch import Removed, Replaced, Updated


def pod(name, version="1", node=""):
    return {"metadata": {"name": name, "namespace": "n", "resourceVersion": version}, "spec": {"nodeName": node}}


def heard(cache):
    calls = []

    def listen(key, old, new):
        def version(obj):
            return obj and obj["metadata"]["resourceVersion"]

        calls.append((key.name, version(old), version(new)))

    cache.add_listener(listen)
    return calls


def test_listeners_hear_of_additions_changes_and_removals():
    cache = Cache()
    calls = heard(cache)
    cache.apply(Updated(pod("a")))
    cache.apply(Updated(pod("a", "2")))
    cache.apply(Removed(pod("a", "3")))
    cache.apply(Removed(pod("a", "3")))
    assert calls == [("a", None, "1"), ("a", "1", "2"), ("a", "2", None)]
    assert not cache.objects


def test_a_replacement_tells_only_of_differences():
    cache = Cache()
    cache.apply(Replaced((pod("a"), pod("b"), pod("c"))))
    calls = heard(cache)
    calls.clear()
    cache.apply(Replaced((pod("a"), pod("b", "2"), pod("d"))))
    assert calls == [("c", "1", None), ("b", "1", "2"), ("d", None, "1")]


def test_a_late_listener_hears_of_what_there_is():
    cache = Cache()
    cache.apply(Updated(pod("a")))
    assert heard(cache) == [("a", None, "1")]


def test_one_failing_listener_does_not_silence_the_others():
    cache = Cache()
    cache.add_listener(lambda key, old, new: 1 / 0)
    calls = heard(cache)
    cache.apply(Updated(pod("a")))
    assert calls == [("a", None, "1")]
    assert ObjectKey("n", "a") in cache.objects


def test_an_index_follows_its_objects():
    cache = Cache()
    cache.apply(Updated(pod("a", node="one")))
    cache.add_index("node", lambda obj: [obj["spec"]["nodeName"]])
    cache.apply(Updated(pod("b", node="one")))
    cache.apply(Updated(pod("a", "2", node="two")))
    assert [obj["metadata"]["name"] for obj in cache.indexed("node", "one")] == ["b"]
    assert [obj["metadata"]["name"] for obj in cache.indexed("node", "two")] == ["a"]
    cache.apply(Removed(pod("b", node="one")))
    assert cache.indexed("node", "one") == []
