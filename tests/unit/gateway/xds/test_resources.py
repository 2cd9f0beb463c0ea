from roadstead.gateway.xds.resources import Ref, Resource, ResourceType, digest, snapshot

SECRET = Resource("tls", digest(b"private"), b"private")


def test_a_version_depends_on_content_alone():
    assert digest(b"same") == digest(b"same")
    assert digest(b"same") != digest(b"other")


def test_a_snapshot_has_every_type_and_a_version_that_ignores_the_order():
    a, b = Resource("a", "1", b""), Resource("b", "2", b"")
    one = snapshot({ResourceType.CLUSTER: {"a": a, "b": b}})
    other = snapshot({ResourceType.CLUSTER: {"b": b, "a": a}})
    assert one.version == other.version
    assert one.version != snapshot({ResourceType.CLUSTER: {"a": a}}).version
    assert one.version != snapshot({ResourceType.LISTENER: {"a": a, "b": b}}).version
    assert set(one.resources) == set(ResourceType)
    assert one.get(Ref(ResourceType.CLUSTER, "a")) is a
    assert one.get(Ref(ResourceType.SECRET, "a")) is None


def test_bodies_are_never_printed():
    whole = snapshot({ResourceType.SECRET: {"tls": SECRET}})
    assert "private" not in repr(SECRET) + repr(whole)


def test_a_ref_reads_well():
    assert str(Ref(ResourceType.ROUTES, "http-80")) == "routes http-80"
