"""Pods resolve names: the DNS server on sockets of a pod's network namespace, asked through its Service's address."""

import asyncio
import tempfile
from pathlib import Path

import dns.message
import dns.rcode
import pytest
from network_bed import as_both_users, in_child

from roadstead.node.netd import fork_netd
from roadstead.node.netd_client import NetdClient, wait_ready
from roadstead.node.network.dns import DnsServer
from roadstead.node.network.dns_records import records_from
from roadstead.node.network.links import NetworkSettings
from roadstead.node.network.services import services_from

pytestmark = pytest.mark.e2e

SERVICES = [
    {
        "metadata": {"namespace": "kube-system", "name": "kube-dns"},
        "spec": {
            "clusterIP": "10.96.0.10",
            "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53}],
        },
    },
    {"metadata": {"namespace": "shop", "name": "web"}, "spec": {"clusterIP": "10.96.0.20", "ports": [{"port": 80}]}},
]
SLICES = [
    {
        "metadata": {
            "namespace": "kube-system",
            "name": "kube-dns-1",
            "labels": {"kubernetes.io/service-name": "kube-dns"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}],
        "endpoints": [{"addresses": ["10.244.0.10"]}],
    }
]


async def _scenario(netd: NetdClient):
    await netd.create_sandbox("kube-system/dns", "dns", "10.244.0.10", {})
    await netd.create_sandbox("shop/client", "client", "10.244.0.11", {})
    await netd.apply_services(services_from(SERVICES, SLICES))
    server = DnsServer(records_from(SERVICES, SLICES))
    await server.start(
        await netd.listen("kube-system/dns", "10.244.0.10", 53, "udp"),
        await netd.listen("kube-system/dns", "10.244.0.10", 53),
    )
    loop = asyncio.get_running_loop()
    replies = []
    with await netd.open_socket("shop/client", "udp") as client:
        await loop.sock_connect(client, ("10.96.0.10", 53))
        for name in ("web.shop.svc.cluster.local", "nobody.shop.svc.cluster.local", "example.com"):
            await loop.sock_sendall(client, dns.message.make_query(name, "A").to_wire())
            replies.append(dns.message.from_wire(await loop.sock_recv(client, 4096)))
    with await netd.connect("shop/client", "10.96.0.10", 53) as stream:
        query = dns.message.make_query("web.shop.svc.cluster.local", "A").to_wire()
        await loop.sock_sendall(stream, len(query).to_bytes(2, "big") + query)
        replies.append(dns.message.from_wire((await loop.sock_recv(stream, 4096))[2:]))
    await server.close()
    return [
        (dns.rcode.to_text(reply.rcode()), [str(rr) for rrset in reply.answer for rr in rrset]) for reply in replies
    ]


@as_both_users
def test_a_pod_resolves_services_through_the_cluster_address_of_the_dns(user):
    def run():
        with tempfile.TemporaryDirectory(prefix="roadstead-dns-") as folder:
            control = fork_netd(NetworkSettings(), Path(folder))
            wait_ready(control)

            async def main():
                netd = NetdClient(control)
                async with asyncio.timeout(20):
                    replies = await _scenario(netd)
                netd.close()
                return replies

            return asyncio.run(main())

    assert in_child(user, run) == [
        ("NOERROR", ["10.96.0.20"]),
        ("NXDOMAIN", []),
        ("SERVFAIL", []),
        ("NOERROR", ["10.96.0.20"]),
    ]
