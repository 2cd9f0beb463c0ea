"""TLS at a real Envoy: names, authorities, protocols, certificates that change, and TLS to backends."""

import asyncio
import ssl

import grpc
import pytest
import trustme
from envoy_bed import (
    HERE,
    Backend,
    alpn,
    any_grpc,
    call,
    certificate,
    channel,
    cluster,
    failure,
    forward,
    free_port,
    host,
    http_get,
    http_listener,
    https_listener,
    proxy,
    run,
    running,
    tls_chain,
    until,
)

from roadstead.gateway import ir

pytestmark = pytest.mark.e2e

EVERYTHING = any_grpc()


async def shake(port, name, authority, offered=("h2", "http/1.1")):
    return await asyncio.to_thread(alpn, port, name, authority, list(offered))


def test_the_name_that_the_client_asks_for_chooses_the_certificate(tmp_path):
    async def test():
        authority, foo, port = trustme.CA(), await Backend("foo").start(), free_port()
        chains = [
            tls_chain("foo.example.com", certificates=("ns/foo",)),
            tls_chain("*.example.com", certificates=("ns/wild",)),
        ]
        served = proxy(
            [https_listener(port, *chains)],
            [host((EVERYTHING, forward("foo")))],
            [cluster("foo", foo)],
            certificates=[
                certificate("ns/foo", authority, "foo.example.com"),
                certificate("ns/wild", authority, "*.example.com"),
            ],
        )
        async with running(tmp_path, served):
            for name, subject in (("foo.example.com", "foo.example.com"), ("bar.example.com", "*.example.com")):
                chosen, shown = await shake(port, name, authority)
                assert chosen == "h2"
                assert shown["subjectAltName"] == (("DNS", subject),)
                async with channel(port, name, authority) as over:
                    assert await call(over) == "foo"
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await shake(port, "elsewhere.org", authority)

    run(test)


def test_alpn_offers_h2_first_and_http_1_1_to_those_who_know_no_other(tmp_path):
    async def test():
        authority, port = trustme.CA(), free_port()
        served = proxy(
            [https_listener(port, tls_chain(certificates=("ns/foo",)))],
            [],
            certificates=[certificate("ns/foo", authority, "foo.example.com")],
        )
        async with running(tmp_path, served):
            assert (await shake(port, "foo.example.com", authority))[0] == "h2"
            assert (await shake(port, "foo.example.com", authority, ["http/1.1"]))[0] == "http/1.1"

    run(test)


def test_a_client_that_trusts_another_authority_refuses(tmp_path):
    async def test():
        authority, stranger, foo, port = trustme.CA(), trustme.CA(), await Backend("foo").start(), free_port()
        served = proxy(
            [https_listener(port, tls_chain("foo.example.com", certificates=("ns/foo",)))],
            [host((EVERYTHING, forward("foo")))],
            [cluster("foo", foo)],
            certificates=[certificate("ns/foo", authority, "foo.example.com")],
        )
        async with running(tmp_path, served):
            async with channel(port, trust=authority) as over:
                assert await call(over) == "foo"
            async with channel(port, trust=stranger) as over:
                error = await failure(call(over))
                assert error.code() is grpc.StatusCode.UNAVAILABLE
                assert "CERTIFICATE_VERIFY_FAILED" in error.details()
            with pytest.raises(ssl.SSLCertVerificationError, match=r"self-signed|unable to get"):
                await shake(port, "foo.example.com", stranger)

    run(test)


def test_an_rsa_and_an_ecdsa_certificate_serve_one_name(tmp_path):
    async def test():
        authority, port = trustme.CA(), free_port()
        served = proxy(
            [https_listener(port, tls_chain("foo.example.com", certificates=("ns/rsa", "ns/ecdsa")))],
            [],
            certificates=[
                certificate("ns/rsa", authority, "foo.example.com", key_type=trustme.KeyType.RSA),
                certificate("ns/ecdsa", authority, "foo.example.com", key_type=trustme.KeyType.ECDSA),
            ],
        )
        async with running(tmp_path, served) as bed:
            assert bed.state.rejections == ()
            assert await asyncio.to_thread(_key_with, port, authority, "ECDHE-RSA-AES128-GCM-SHA256") == "RSA"
            assert await asyncio.to_thread(_key_with, port, authority, "ECDHE-ECDSA-AES128-GCM-SHA256") == "ECDSA"

    run(test)


def test_of_several_certificates_each_name_gets_its_own(tmp_path):
    async def test():
        authority, port = trustme.CA(), free_port()
        names = {"ns/foo": "foo.example.com", "ns/bar": "bar.example.com", "ns/wild": "*.example.org"}
        served = proxy(
            [https_listener(port, tls_chain(certificates=tuple(names)))],
            [],
            certificates=[certificate(name, authority, host) for name, host in names.items()],
        )
        async with running(tmp_path, served) as bed:
            assert bed.state.rejections == ()
            for asked, shown in (
                *((host, host) for host in names.values() if "*" not in host),
                ("a.example.org", "*.example.org"),
            ):
                _, found = await shake(port, asked, authority)
                assert found["subjectAltName"] == (("DNS", shown),)

    run(test)


def _key_with(port, authority, cipher):
    """Shake hands with one TLS 1.2 cipher and say which kind of key it authenticates by."""
    import socket

    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(cipher)
    raw = socket.create_connection((HERE, port), 5)
    with raw, context.wrap_socket(raw, server_hostname="foo.example.com") as tls:
        return tls.cipher()[0].split("-")[1]


def test_the_lowest_version_and_the_cipher_suites_are_what_an_option_says(tmp_path):
    async def test():
        authority, strict, chosen = trustme.CA(), free_port(), free_port()
        suites = ("ECDHE-ECDSA-AES256-GCM-SHA384",)
        served = proxy(
            [
                https_listener(strict, tls_chain(certificates=("ns/foo",), minimum_version="1.3")),
                https_listener(chosen, tls_chain(certificates=("ns/foo",), cipher_suites=suites)),
            ],
            [],
            certificates=[certificate("ns/foo", authority, "foo.example.com", key_type=trustme.KeyType.ECDSA)],
        )
        async with running(tmp_path, served) as bed:
            assert bed.state.rejections == ()
            assert (await shake(strict, "foo.example.com", authority))[0] == "h2"
            for port, cipher in ((strict, suites[0]), (chosen, "ECDHE-ECDSA-AES128-GCM-SHA256")):
                with pytest.raises(ssl.SSLError, match=r"(?i)alert|version"):
                    await asyncio.to_thread(_key_with, port, authority, cipher)
            assert await asyncio.to_thread(_key_with, chosen, authority, suites[0]) == "ECDSA"

    run(test)


def test_a_renewed_certificate_serves_new_handshakes_while_old_streams_live_on(tmp_path):
    async def test():
        authority, foo, port = trustme.CA(), await Backend("foo").start(), free_port()

        def with_certificate(made):
            chain = tls_chain("foo.example.com", certificates=("ns/foo",))
            hosts = [host((EVERYTHING, forward("foo")))]
            return proxy([https_listener(port, chain)], hosts, [cluster("foo", foo)], certificates=[made])

        async with running(tmp_path, with_certificate(certificate("ns/foo", authority, "foo.example.com"))) as bed:
            _, before = await shake(port, "foo.example.com", authority)
            async with channel(port, trust=authority) as over:
                stream = over.unary_stream("/com.example.User/Stream")(b"")
                assert await stream.read() == b"foo"
                await bed.serve(with_certificate(certificate("ns/foo", authority, "foo.example.com")))
                _, after = await shake(port, "foo.example.com", authority)
                assert after["serialNumber"] != before["serialNumber"]
                assert [await stream.read() for _ in range(5)] == [b"foo"] * 5
                assert await call(over) == "foo"
                stream.cancel()

    run(test)


def test_a_broken_certificate_is_reported_and_the_last_good_one_serves(tmp_path):
    async def test():
        authority, port = trustme.CA(), free_port()
        good = certificate("ns/foo", authority, "foo.example.com")
        broken = ir.Certificate("ns/foo", b"-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n", good.key)

        def with_certificate(made):
            chain = tls_chain("foo.example.com", certificates=("ns/foo",))
            return proxy([https_listener(port, chain)], [], certificates=[made])

        async with running(tmp_path, with_certificate(good)) as bed:
            state = await bed.serve(with_certificate(broken))
            assert [each.resource for each in state.rejections] == ["secret certificate:ns/foo"]
            assert "Failed to load certificate chain" in state.rejections[0].message
            assert (await shake(port, "foo.example.com", authority))[0] == "h2"
            bed.envoy.kill()
            await until(lambda: not bed.state.connected, "the control plane hears of it")
            bed.envoy.start()
            await bed.envoy.ready()
            assert (await bed.settled()).rejections == state.rejections
            assert (await shake(port, "foo.example.com", authority))[0] == "h2", "it is given what the others had"
            better = certificate("ns/foo", authority, "foo.example.com")
            assert (await bed.serve(with_certificate(better))).rejections == ()

    run(test)


def test_a_client_certificate_is_demanded_or_only_asked_for(tmp_path):
    async def test():
        authority, foo, strict, lenient = trustme.CA(), await Backend("foo").start(), free_port(), free_port()

        def listening(port, optional):
            validation = ir.ClientValidation("ns/clients", optional)
            chain = tls_chain("foo.example.com", certificates=("ns/foo",), client_validation=validation)
            return https_listener(port, chain)

        served = proxy(
            [listening(strict, False), listening(lenient, True)],
            [host((EVERYTHING, forward("foo")))],
            [cluster("foo", foo)],
            certificates=[certificate("ns/foo", authority, "foo.example.com")],
            trust_bundles=[ir.TrustBundle("ns/clients", authority.cert_pem.bytes())],
        )
        async with running(tmp_path, served):
            async with channel(strict, trust=authority) as over:
                assert (await failure(call(over))).code() is grpc.StatusCode.UNAVAILABLE
            async with channel(lenient, trust=authority) as over:
                assert await call(over) == "foo"
            identity = authority.issue_cert("client@example.com")
            credentials = grpc.ssl_channel_credentials(
                authority.cert_pem.bytes(), identity.private_key_pem.bytes(), identity.cert_chain_pems[0].bytes()
            )
            options = [("grpc.ssl_target_name_override", "foo.example.com")]
            async with grpc.aio.secure_channel(f"{HERE}:{strict}", credentials, options) as over:
                assert await call(over) == "foo"

    run(test)


def test_tls_to_a_backend_checks_its_name_and_authority(tmp_path):
    async def test():
        authority, stranger, port = trustme.CA(), trustme.CA(), free_port()
        issued = authority.issue_cert("foo.internal")
        pair = (issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes())
        foo = await Backend("foo").start(grpc.ssl_server_credentials([pair]))
        cases = {
            "good": ir.UpstreamTls("foo.internal", trust="ns/right"),
            "name": ir.UpstreamTls("bar.internal", trust="ns/right"),
            "authority": ir.UpstreamTls("foo.internal", trust="ns/wrong"),
            "unverified": ir.UpstreamTls(verify=False),
        }
        served = proxy(
            [https_listener(port, tls_chain(certificates=("ns/edge",)))],
            [host((EVERYTHING, forward(name)), domains=(f"{name}.example.com",)) for name in cases],
            [cluster(name, foo, tls=tls) for name, tls in cases.items()],
            certificates=[certificate("ns/edge", authority, "*.example.com")],
            trust_bundles=[
                ir.TrustBundle("ns/right", authority.cert_pem.bytes()),
                ir.TrustBundle("ns/wrong", stranger.cert_pem.bytes()),
            ],
        )
        async with running(tmp_path, served) as bed:
            for name in cases:
                async with channel(port, f"{name}.example.com", authority) as over:
                    if name in {"good", "unverified"}:
                        assert await call(over) == "foo", name
                    else:
                        error = await failure(call(over))
                        assert error.code() is grpc.StatusCode.UNAVAILABLE, name
            await until(lambda: len(_blamed(bed.envoy.access_log())) == 2, "the log says why")

    run(test)


def test_a_backend_is_offered_h2_by_alpn(tmp_path):
    async def test():
        authority, port, chosen = trustme.CA(), free_port(), []

        async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            chosen.append(
                (writer.get_extra_info("ssl_object").selected_alpn_protocol(), (await reader.readline())[:14])
            )
            writer.close()

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("foo.internal").configure_cert(context)
        context.set_alpn_protocols(["http/1.1", "h2"])
        server = await asyncio.start_server(note, HERE, 0, ssl=context)
        tls = ir.UpstreamTls("foo.internal", trust="ns/ca")
        endpoint = ir.Endpoint(HERE, server.sockets[0].getsockname()[1])
        served = proxy(
            [http_listener(port)],
            [host((EVERYTHING, forward("foo", retry=None)))],
            [(ir.Cluster("foo/h2", "foo", "h2", tls), ir.EndpointSet("foo", (endpoint,)))],
            trust_bundles=[ir.TrustBundle("ns/ca", authority.cert_pem.bytes())],
        )
        async with running(tmp_path, served), channel(port) as over:
            await failure(call(over))
        assert chosen == [("h2", b"PRI * HTTP/2.0")]
        server.close()

    run(test)


def _blamed(access_log):
    return [line for line in access_log.splitlines() if "CERTIFICATE_VERIFY_FAILED" in line]


def test_passthrough_leaves_tls_to_the_backend(tmp_path):
    async def test():
        authority, port = trustme.CA(), free_port()
        issued = authority.issue_cert("foo.example.com")
        pair = (issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes())
        foo = await Backend("foo").start(grpc.ssl_server_credentials([pair]))
        chain = ir.FilterChain("pass", ("foo.example.com",), stream=ir.Stream((ir.Destination("foo/tcp"),)))
        listener = ir.Listener("tls", port, port, "TLS", (chain,))
        tcp = (ir.Cluster("foo/tcp", "foo", "tcp"), ir.EndpointSet("foo", (ir.Endpoint(HERE, foo.port),)))
        async with running(tmp_path, proxy([listener], [], [tcp])), channel(port, trust=authority) as over:
            assert await call(over) == "foo"

    run(test)


def test_a_listener_whose_certificate_is_missing_does_not_hold_up_others(tmp_path):
    async def test():
        authority, port, other = trustme.CA(), free_port(), free_port()
        served = proxy(
            [
                https_listener(port, tls_chain("foo.example.com", certificates=("ns/none",))),
                https_listener(other, tls_chain("foo.example.com", certificates=("ns/foo",))),
            ],
            [],
            certificates=[certificate("ns/foo", authority, "foo.example.com")],
        )
        async with running(tmp_path, served) as bed:
            assert (await shake(other, "foo.example.com", authority))[0] == "h2"
            assert [each.resource for each in bed.state.rejections] == [f"listener https-{port}"]
            status, _ = await http_get(bed.envoy.ready_port, "/ready")
            assert status == 200
            await until(lambda: bed.state.settled, "settled")

    run(test)
