from roadstead.api.objects import ObjectKey
from roadstead.client.cache import Cache
from roadstead.client.watch import Removed, Replaced, Updated


def pod(name, version="1", node="", uid=""):
    metadata = {"name": name, "namespace": "n", "uid": uid or name, "resourceVersion": version}
    return {"metadata": metadata, "spec": {"nodeName": node}}


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


def names(cache):
    return {key.name: obj["metadata"]["resourceVersion"] for key, obj in cache.objects.items()}


def test_own_writes_are_seen_at_once_and_earlier_states_do_not_undo_them():
    cache = Cache()
    cache.apply(Replaced((pod("a", "3"),), "5"))
    cache.wrote(pod("a", "9"))
    cache.wrote(pod("b", "10"))
    cache.apply(Updated(pod("a", "7")))
    assert names(cache) == {"a": "9", "b": "10"}
    cache.apply(Updated(pod("a", "11")))
    assert names(cache) == {"a": "11", "b": "10"}


def test_an_own_write_that_the_watch_has_passed_is_ignored():
    cache = Cache()
    cache.apply(Updated(pod("a", "8")))
    cache.apply(Removed(pod("a", "9")))
    cache.wrote(pod("a", "8"))
    assert names(cache) == {}


def test_an_own_deletion_is_seen_at_once_and_earlier_states_do_not_undo_it():
    cache = Cache()
    cache.apply(Updated(pod("a", "3")))
    cache.deleted(pod("a", "3"))
    cache.apply(Updated(pod("a", "4")))
    assert names(cache) == {}
    cache.wrote(pod("a", "7", uid="a successor"))
    cache.apply(Removed(pod("a", "6")))
    assert names(cache) == {"a": "7"}


def test_a_replacement_keeps_own_writes_that_are_newer_than_it():
    cache = Cache()
    cache.apply(Replaced((), "5"))
    cache.wrote(pod("b", "10"))
    cache.apply(Replaced((pod("a", "6"),), "8"))
    assert names(cache) == {"a": "6", "b": "10"}
    cache.apply(Replaced((pod("a", "6"),), "12"))
    assert names(cache) == {"a": "6"}


def test_a_store_begun_anew_counts_although_its_versions_are_smaller():
    cache = Cache()
    cache.apply(Replaced((pod("a", "90"), pod("b", "91")), "95"))
    cache.apply(Replaced((pod("a", "2", uid="another"),), "3"))
    assert names(cache) == {"a": "2"}
    cache.apply(Updated(pod("a", "4", uid="another")))
    assert names(cache) == {"a": "4"}


def test_who_manages_which_field_is_not_kept() -> None:
    cache = Cache()
    found = {"metadata": {"name": "a", "resourceVersion": "1", "managedFields": [{"manager": "kubectl"}]}}
    cache.apply(Updated(found))
    assert cache.objects[ObjectKey("", "a")]["metadata"] == {"name": "a", "resourceVersion": "1"}
    assert "managedFields" in found["metadata"]
