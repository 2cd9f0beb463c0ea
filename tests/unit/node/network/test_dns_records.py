from roadstead.node.network.dns_records import Location, records_from


def service(name, **spec):
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": spec}


def headless_slice(*endpoints):
    return {
        "metadata": {"namespace": "shop", "labels": {"kubernetes.io/service-name": "db"}},
        "ports": [{"name": "redis", "port": 6379, "protocol": "TCP"}],
        "endpoints": list(endpoints),
    }


def test_a_cluster_address_has_a_name_a_location_per_named_port_and_a_pointer():
    records = records_from(
        [service("web", clusterIP="10.96.0.5", ports=[{"name": "grpc", "port": 50051}, {"port": 80}])], []
    )
    assert records.addresses == {"web.shop.svc.cluster.local": ("10.96.0.5",)}
    assert records.locations == {
        "_grpc._tcp.web.shop.svc.cluster.local": (Location(50051, "web.shop.svc.cluster.local"),)
    }
    assert records.pointers == {"5.0.96.10.in-addr.arpa": "web.shop.svc.cluster.local"}


def test_a_headless_service_has_its_ready_endpoints_and_a_name_for_each():
    slices = [
        headless_slice(
            {"addresses": ["10.244.0.2"], "hostname": "db-0", "conditions": {"ready": True}},
            {"addresses": ["10.244.0.3"]},
            {"addresses": ["10.244.0.4"], "conditions": {"ready": False}},
        )
    ]
    records = records_from([service("db", clusterIP="None")], slices)
    assert records.addresses == {
        "db.shop.svc.cluster.local": ("10.244.0.2", "10.244.0.3"),
        "db-0.db.shop.svc.cluster.local": ("10.244.0.2",),
        "10-244-0-3.db.shop.svc.cluster.local": ("10.244.0.3",),
    }
    assert records.locations["_redis._tcp.db.shop.svc.cluster.local"] == (
        Location(6379, "10-244-0-3.db.shop.svc.cluster.local"),
        Location(6379, "db-0.db.shop.svc.cluster.local"),
    )
    assert records.pointers["2.0.244.10.in-addr.arpa"] == "db-0.db.shop.svc.cluster.local"


def test_an_external_name_is_an_alias():
    records = records_from([service("mail", type="ExternalName", externalName="smtp.example.com.")], [])
    assert records.aliases == {"mail.shop.svc.cluster.local": "smtp.example.com"}


def test_names_in_between_are_known():
    records = records_from([service("web", clusterIP="10.96.0.5")], [], "corp.internal")
    assert records.known == {
        "corp.internal",
        "svc.corp.internal",
        "shop.svc.corp.internal",
        "web.shop.svc.corp.internal",
    }
