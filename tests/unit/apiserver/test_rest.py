"""The verbs, as a client sees them over HTTP."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from apiserver_bed import CONFIGMAPS, DEPLOYMENTS, PODS, SERVICES, Bench, bench, configmap, deployment, pod

from roadstead.apiserver.http.exchange import warning_headers

Conversation = Callable[[Bench], Coroutine[Any, Any, None]]
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"


def talk(conversation: Conversation) -> None:
    async def whole() -> None:
        async with bench() as server:
            await conversation(server)

    asyncio.run(whole())


def test_what_is_created_can_be_read() -> None:
    async def conversation(server: Bench) -> None:
        made = await server.create(CONFIGMAPS, configmap("a", x="1"))
        assert made["metadata"]["uid"]
        assert made["metadata"]["creationTimestamp"] == "2026-03-01T12:00:00Z"
        assert await server.get(f"{CONFIGMAPS}/a") == made
        assert made["metadata"]["managedFields"][0]["manager"] == "test"

    talk(conversation)


def test_creating_twice_is_refused_and_a_missing_object_is_not_found() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(CONFIGMAPS, configmap("a"))
        again = await server.refused(409, "POST", CONFIGMAPS, configmap("a"))
        assert (again["reason"], again["message"]) == ("AlreadyExists", 'configmaps "a" already exists')
        missing = await server.refused(404, "GET", f"{CONFIGMAPS}/b")
        assert missing["details"] == {"name": "b", "kind": "configmaps"}
        await server.refused(404, "GET", f"{DEPLOYMENTS}/b")
        await server.refused(404, "GET", "/api/v1/namespaces/default/nonsense")
        assert (await server.send("GET", "/nonsense")).code == 404

    talk(conversation)


def test_generated_names_are_found_until_one_is_free() -> None:
    async def conversation(server: Bench) -> None:
        body = {"metadata": {"generateName": "job-"}}
        names = {(await server.create(CONFIGMAPS, body))["metadata"]["name"] for _ in range(20)}
        assert len(names) == 20
        assert all(name.startswith("job-") and len(name) == 9 for name in names)

    talk(conversation)


def test_objects_need_a_namespace_that_is_there_and_stays() -> None:
    async def conversation(server: Bench) -> None:
        missing = await server.refused(404, "POST", "/api/v1/namespaces/none/configmaps", configmap("a", "none"))
        assert missing["message"] == 'namespaces "none" not found'
        await server.create("/api/v1/namespaces", {"metadata": {"name": "old"}})
        await server.good("DELETE", "/api/v1/namespaces/old")
        ending = await server.refused(403, "POST", "/api/v1/namespaces/old/configmaps", configmap("a", "old"))
        assert ending["details"]["causes"][0]["reason"] == "NamespaceTerminating"

    talk(conversation)


def test_a_namespace_goes_when_its_finalizer_does() -> None:
    async def conversation(server: Bench) -> None:
        made = await server.create("/api/v1/namespaces", {"metadata": {"name": "old"}})
        assert made["spec"]["finalizers"] == ["kubernetes"]
        assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "old"}
        deleting = (await server.good("DELETE", "/api/v1/namespaces/old")).json()
        assert deleting["status"]["phase"] == "Terminating"
        deleting["spec"]["finalizers"] = []
        await server.good("PUT", "/api/v1/namespaces/old", deleting)
        assert (await server.get("/api/v1/namespaces/old"))["spec"]["finalizers"] == ["kubernetes"]
        deleting["metadata"].pop("resourceVersion")
        await server.good("PUT", "/api/v1/namespaces/old/finalize", deleting)
        await server.refused(404, "GET", "/api/v1/namespaces/old")

    talk(conversation)


def test_a_replace_needs_the_newest_version_if_it_names_one() -> None:
    async def conversation(server: Bench) -> None:
        made = await server.create(CONFIGMAPS, configmap("a", x="1"))
        newer = (await server.good("PUT", f"{CONFIGMAPS}/a", {**made, "data": {"x": "2"}})).json()
        stale = await server.refused(409, "PUT", f"{CONFIGMAPS}/a", {**made, "data": {"x": "3"}})
        assert stale["reason"] == "Conflict"
        assert "the object has been modified" in stale["message"]
        body = configmap("a", x="4")
        del body["metadata"]["namespace"]  # Helm leaves it out
        blind = (await server.good("PUT", f"{CONFIGMAPS}/a", body)).json()
        assert int(blind["metadata"]["resourceVersion"]) > int(newer["metadata"]["resourceVersion"])

    talk(conversation)


def test_a_write_that_changes_nothing_keeps_the_version_and_sends_no_event() -> None:
    async def conversation(server: Bench) -> None:
        made = await server.create(CONFIGMAPS, configmap("a", x="1"))
        before = server.store.revision
        assert (await server.good("PUT", f"{CONFIGMAPS}/a", made)).json() == made
        assert (await server.patch(f"{CONFIGMAPS}/a", {"data": {"x": "1"}})).json() == made
        assert server.store.revision == before

    talk(conversation)


def test_deployments_get_defaults_a_generation_and_a_status_of_their_own() -> None:
    async def conversation(server: Bench) -> None:
        made = await server.create(DEPLOYMENTS, {**deployment("web"), "status": {"replicas": 9}})
        assert made["metadata"]["generation"] == 1
        assert made["spec"]["strategy"]["type"] == "RollingUpdate"
        assert "replicas" not in made.get("status", {})
        scaled = (await server.patch(f"{DEPLOYMENTS}/web", {"spec": {"replicas": 3}, "status": {"replicas": 7}})).json()
        assert scaled["metadata"]["generation"] == 2
        assert "replicas" not in scaled.get("status", {})
        status = (
            await server.patch(f"{DEPLOYMENTS}/web/status", {"spec": {"replicas": 9}, "status": {"replicas": 3}})
        ).json()
        assert (status["spec"]["replicas"], status["status"]["replicas"]) == (3, 3)
        assert status["metadata"]["generation"] == 2

    talk(conversation)


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("merge", {"metadata": {"labels": {"x": "y"}}}),
        ("strategic-merge", {"metadata": {"labels": {"x": "y"}}}),
        ("json", [{"op": "add", "path": "/metadata/labels", "value": {"x": "y"}}]),
    ],
)
def test_three_kinds_of_patch_say_the_same(kind: str, patch: Any) -> None:
    async def conversation(server: Bench) -> None:
        await server.create(CONFIGMAPS, configmap("a"))
        assert (await server.patch(f"{CONFIGMAPS}/a", patch, kind)).json()["metadata"]["labels"] == {"x": "y"}

    talk(conversation)


def test_a_patch_may_not_move_an_object_and_must_be_of_a_known_kind() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(CONFIGMAPS, configmap("a"))
        assert (await server.patch(f"{CONFIGMAPS}/a", {"metadata": {"name": "b"}})).code == 400
        assert (await server.patch(f"{CONFIGMAPS}/a", {}, "unknown")).code == 415
        assert (await server.patch(f"{CONFIGMAPS}/a", [], "merge")).code == 400
        assert (await server.patch(f"{CONFIGMAPS}/a", {"metadata": {"resourceVersion": "1"}})).code == 409
        assert (await server.patch(f"{CONFIGMAPS}/b", {"data": {}})).code == 404

    talk(conversation)


def test_apply_creates_merges_and_reports_conflicts() -> None:
    async def conversation(server: Bench) -> None:
        path = f"{CONFIGMAPS}/a?fieldManager=one"
        assert (await server.patch(path, configmap("a", x="1"), "apply")).code == 201
        assert (await server.patch(path, configmap("a", x="1"), "apply")).code == 200
        conflict = await server.patch(f"{CONFIGMAPS}/a?fieldManager=two", configmap("a", x="2"), "apply")
        assert conflict.code == 409
        assert conflict.json()["details"]["causes"][0]["field"] == ".data.x"
        forced = await server.patch(f"{CONFIGMAPS}/a?fieldManager=two&force=true", configmap("a", x="2"), "apply")
        assert forced.json()["data"] == {"x": "2"}
        assert (await server.patch(f"{CONFIGMAPS}/a", configmap("a"), "apply")).code == 422

    talk(conversation)


def test_an_apply_that_changes_nothing_is_no_write() -> None:
    async def conversation(server: Bench) -> None:
        path = f"{DEPLOYMENTS}/web?fieldManager=one&force=true"
        first = (await server.patch(path, deployment("web"), "apply")).json()
        server.clock.now = server.clock.now.replace(minute=30)
        assert (await server.patch(path, deployment("web"), "apply")).json() == first

    talk(conversation)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_dry_run_answers_in_full_and_stores_nothing(method: str) -> None:
    async def conversation(server: Bench) -> None:
        if method != "POST":
            await server.create(CONFIGMAPS, configmap("a", x="1"))
        before = server.store.revision
        path = CONFIGMAPS if method == "POST" else f"{CONFIGMAPS}/a"
        body = None if method == "DELETE" else configmap("a", x="2")
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        reply = await server.good(method, f"{path}?dryRun=All", body, content_type=kind)
        if method != "DELETE":
            assert reply.json()["data"] == {"x": "2"}
            assert reply.json()["metadata"]["uid"]
        assert server.store.revision == before

    talk(conversation)


def test_unknown_fields_are_refused_warned_of_or_dropped() -> None:
    async def conversation(server: Bench) -> None:
        body = deployment("web")
        body["spec"]["template"]["spec"]["containers"][0]["imagee"] = "typo"
        strict = await server.refused(400, "POST", f"{DEPLOYMENTS}?fieldValidation=Strict", body)
        assert 'unknown field "spec.template.spec.containers[0].imagee"' in strict["message"]
        warned = await server.good("POST", f"{DEPLOYMENTS}?fieldValidation=Warn", body)
        assert warned.headers["warning"] == r'299 - "unknown field \"spec.template.spec.containers[0].imagee\""'
        assert "imagee" not in warned.json()["spec"]["template"]["spec"]["containers"][0]
        twice = b'{"metadata": {"name": "a"}, "spec": {"replicas": 1, "replicas": 2}}'
        strict = await server.refused(400, "POST", f"{DEPLOYMENTS}?fieldValidation=Strict", twice)
        assert 'strict decoding error: duplicate field "spec.replicas"' in strict["message"]
        body["metadata"]["name"] = "quiet"
        assert "warning" not in (await server.good("POST", f"{DEPLOYMENTS}?fieldValidation=Ignore", body)).headers

    talk(conversation)


def test_wrong_objects_are_refused_with_every_field_named() -> None:
    async def conversation(server: Bench) -> None:
        body = deployment("web")
        body["spec"]["replicas"] = -1
        body["spec"]["template"]["spec"]["containers"][0]["name"] = "Web"
        refused = await server.refused(422, "POST", DEPLOYMENTS, body)
        fields = {cause["field"] for cause in refused["details"]["causes"]}
        assert {"spec.replicas", "spec.template.spec.containers[0].name"} <= fields

    talk(conversation)


MISTYPED = "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"


def test_values_of_wrong_types_are_refused_in_the_words_of_the_decoder() -> None:
    async def conversation(server: Bench) -> None:
        body = deployment("web")
        body["spec"]["replicas"] = "three"
        refused = await server.refused(400, "POST", DEPLOYMENTS, body)
        assert refused["message"] == f'Deployment in version "v1" cannot be handled as a Deployment: {MISTYPED}'
        await server.create(DEPLOYMENTS, deployment("web"))
        reply = await server.patch(f"{DEPLOYMENTS}/web", {"spec": {"replicas": "three"}})
        assert reply.code == 422
        assert reply.json()["details"]["causes"][0]["field"] == "patch"
        assert MISTYPED in reply.json()["message"]
        reply = await server.patch(f"{DEPLOYMENTS}/web?fieldManager=m", body, "apply")
        assert reply.code == 400
        assert reply.json()["message"] == (
            f"failed to create typed patch object (/web; apps/v1, Kind=Deployment): {MISTYPED}"
        )

    talk(conversation)


def test_apply_refuses_fields_that_nobody_declared_whatever_the_field_validation() -> None:
    async def conversation(server: Bench) -> None:
        body = deployment("web")
        body["spec"]["replica"] = 3
        for validation in ("Ignore", "Warn", "Strict"):
            path = f"{DEPLOYMENTS}/web?fieldManager=m&fieldValidation={validation}"
            reply = await server.patch(path, body, "apply")
            assert reply.code == 400
            assert ".spec.replica: field not declared in schema" in reply.json()["message"]

    talk(conversation)


def test_fields_that_come_twice_or_are_unknown_are_named_together() -> None:
    async def conversation(server: Bench) -> None:
        body = b'{"metadata": {"name": "a"}, "data": {"k": "1", "k": "2"}, "date": {}}'
        refused = await server.refused(400, "POST", f"{CONFIGMAPS}?fieldValidation=Strict", body)
        assert refused["message"].endswith('strict decoding error: duplicate field "data.k", unknown field "date"')
        reply = await server.good("POST", CONFIGMAPS, body)
        assert reply.json()["data"] == {"k": "2"}
        document = b"metadata: {name: b}\ndata:\n  k: '1'\n  k: '2'\n"
        path = f"{CONFIGMAPS}?fieldValidation=Strict"
        refused = await server.refused(400, "POST", path, document, content_type="application/yaml")
        assert 'duplicate field "data.k"' in refused["message"]

    talk(conversation)


def test_lists_are_selected_by_labels_and_fields() -> None:
    async def conversation(server: Bench) -> None:
        for name, app in (("a", "web"), ("b", "web"), ("c", "db")):
            await server.create(PODS, pod(name, node="n1" if name == "a" else "", labels={"app": app}))

        async def names(query: str) -> list[str]:
            return [item["metadata"]["name"] for item in (await server.get(f"{PODS}?{query}"))["items"]]

        assert await names("labelSelector=app%3Dweb") == ["a", "b"]
        assert await names("labelSelector=app%20notin%20(web)") == ["c"]
        assert await names("fieldSelector=spec.nodeName%3Dn1") == ["a"]
        assert await names("fieldSelector=metadata.name%3Db,status.phase%3DPending") == ["b"]
        assert await names("fieldSelector=metadata.name!%3Db") == ["a", "c"]
        await server.refused(400, "GET", f"{PODS}?fieldSelector=spec.color%3Dred")

    talk(conversation)


def test_lists_come_in_pages_that_end() -> None:
    async def conversation(server: Bench) -> None:
        for number in range(5):
            await server.create(CONFIGMAPS, configmap(f"n{number}"))
        page = await server.get(f"{CONFIGMAPS}?limit=2")
        revision = page["metadata"]["resourceVersion"]
        assert page["metadata"]["remainingItemCount"] == 3
        await server.create(CONFIGMAPS, configmap("n9"))
        names = []
        while True:
            names += [item["metadata"]["name"] for item in page["items"]]
            assert page["metadata"]["resourceVersion"] == revision
            token = page["metadata"].get("continue")
            if not token:
                break
            page = await server.get(f"{CONFIGMAPS}?limit=2&continue={token}")
        assert names == ["n0", "n1", "n2", "n3", "n4", "n9"]
        await server.refused(400, "GET", f"{CONFIGMAPS}?continue=bm9uc2Vuc2U=")

    talk(conversation)


def test_a_list_across_namespaces_and_from_the_future() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(CONFIGMAPS, configmap("a"))
        await server.create("/api/v1/namespaces/kube-system/configmaps", configmap("b", "kube-system"))
        every = await server.get("/api/v1/configmaps")
        assert [item["metadata"]["name"] for item in every["items"]] == ["a", "b"]
        assert (every["kind"], every["metadata"]["resourceVersion"]) == ("ConfigMapList", str(server.store.revision))
        late = await server.refused(504, "GET", "/api/v1/configmaps?resourceVersion=999999")
        assert late["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"

    talk(conversation)


def test_tables_and_metadata_are_written_when_asked_for() -> None:
    async def conversation(server: Bench) -> None:
        for name in ("a", "b"):
            await server.create(CONFIGMAPS, configmap(name, x="1"))
        table = await server.get(f"{CONFIGMAPS}?limit=1", accept=TABLE)
        assert table["kind"] == "Table"
        assert table["columnDefinitions"][0]["format"] == "name"
        assert table["rows"][0]["cells"][0] == "a"
        assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
        assert table["metadata"]["continue"]
        whole = await server.get(f"{CONFIGMAPS}/a?includeObject=Object", accept=TABLE)
        assert whole["rows"][0]["object"]["data"] == {"x": "1"}
        partial = await server.get(f"{CONFIGMAPS}/a", accept=METADATA)
        assert (partial["kind"], "data" in partial) == ("PartialObjectMetadata", False)
        partials = await server.get(CONFIGMAPS, accept=METADATA.replace("Metadata;", "MetadataList;"))
        assert len(partials["items"]) == 2
        await server.refused(406, "GET", CONFIGMAPS, accept="application/cbor")

    talk(conversation)


def test_deleting_answers_with_the_uid_or_with_the_object_that_waits() -> None:
    async def conversation(server: Bench) -> None:
        made = await server.create(CONFIGMAPS, configmap("a"))
        status = (await server.good("DELETE", f"{CONFIGMAPS}/a")).json()
        assert (status["status"], status["details"]["uid"]) == ("Success", made["metadata"]["uid"])
        held = configmap("b")
        held["metadata"]["finalizers"] = ["example.com/hold"]
        await server.create(CONFIGMAPS, held)
        waiting = (await server.good("DELETE", f"{CONFIGMAPS}/b", {"propagationPolicy": "Background"})).json()
        assert waiting["metadata"]["deletionTimestamp"]
        await server.patch(f"{CONFIGMAPS}/b", {"metadata": {"finalizers": None}})
        await server.refused(404, "GET", f"{CONFIGMAPS}/b")
        await server.refused(404, "DELETE", f"{CONFIGMAPS}/b")

    talk(conversation)


def test_a_deletion_takes_a_revision_of_its_own() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(CONFIGMAPS, configmap("a"))
        before = server.store.revision
        await server.good("DELETE", f"{CONFIGMAPS}/a")
        assert server.store.revision == before + 1

    talk(conversation)


def test_a_collection_is_deleted_by_selector() -> None:
    async def conversation(server: Bench) -> None:
        for name, app in (("a", "web"), ("b", "web"), ("c", "db")):
            body = configmap(name)
            body["metadata"]["labels"] = {"app": app}
            await server.create(CONFIGMAPS, body)
        gone = (await server.good("DELETE", f"{CONFIGMAPS}?labelSelector=app%3Dweb")).json()
        assert [item["metadata"]["name"] for item in gone["items"]] == ["a", "b"]
        left = await server.get(CONFIGMAPS)
        assert [item["metadata"]["name"] for item in left["items"]] == ["c"]

    talk(conversation)


def test_services_get_addresses_that_are_free_again_after_deletion_and_dry_runs() -> None:
    async def conversation(server: Bench) -> None:
        def service(name: str, **spec: Any) -> dict[str, Any]:
            return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}

        await server.create(f"{SERVICES}?dryRun=All", service("try", clusterIP="10.96.0.77"))
        made = await server.create(SERVICES, service("a", clusterIP="10.96.0.77"))
        assert made["spec"]["clusterIP"] == "10.96.0.77"
        refused = await server.refused(422, "POST", SERVICES, service("b", clusterIP="10.96.0.77"))
        assert refused["details"]["causes"][0]["field"] == "spec.clusterIPs"
        await server.good("DELETE", f"{SERVICES}/a")
        await server.create(SERVICES, service("b", clusterIP="10.96.0.77"))
        opened = (await server.patch(f"{SERVICES}/b", {"spec": {"type": "NodePort"}})).json()
        assert 30000 <= opened["spec"]["ports"][0]["nodePort"] <= 32767
        closed = (await server.patch(f"{SERVICES}/b", {"spec": {"type": "ClusterIP"}})).json()
        assert closed["spec"]["clusterIP"] == "10.96.0.77"

    talk(conversation)


def test_concurrent_patches_of_one_object_all_count() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(CONFIGMAPS, configmap("a"))
        await asyncio.gather(*(server.patch(f"{CONFIGMAPS}/a", {"data": {f"k{n}": "v"}}) for n in range(30)))
        assert len((await server.get(f"{CONFIGMAPS}/a"))["data"]) == 30

    talk(conversation)


def test_bodies_in_yaml_and_of_the_wrong_type_and_too_large() -> None:
    async def conversation(server: Bench) -> None:
        text = b"metadata: {name: a}\ndata: {x: '1'}"
        made = await server.good("POST", CONFIGMAPS, text, content_type="application/yaml")
        assert made.json()["data"] == {"x": "1"}
        await server.refused(415, "POST", CONFIGMAPS, b"x", content_type="text/html")
        await server.refused(400, "POST", CONFIGMAPS, b"{")
        await server.refused(413, "POST", CONFIGMAPS, b" " * (3 << 20) + b"{}")

    talk(conversation)


def test_methods_that_a_resource_lacks_are_refused() -> None:
    async def conversation(server: Bench) -> None:
        await server.refused(405, "POST", f"{CONFIGMAPS}/a", configmap("a"))
        await server.refused(405, "PUT", CONFIGMAPS, configmap("a"))
        await server.refused(405, "GET", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
        await server.refused(405, "HEAD", CONFIGMAPS)
        await server.refused(405, "DELETE", "/api/v1/namespaces")

    talk(conversation)


def test_objects_of_all_namespaces_are_only_read() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(CONFIGMAPS, configmap("a"))
        await server.refused(405, "POST", "/api/v1/configmaps", configmap("b"))
        await server.refused(405, "DELETE", "/api/v1/configmaps")
        await server.refused(404, "GET", "/api/v1/configmaps/a")
        assert [item["metadata"]["name"] for item in (await server.get("/api/v1/configmaps"))["items"]] == ["a"]

    talk(conversation)


def test_a_list_can_be_of_an_exact_revision_as_long_as_nothing_changed() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(CONFIGMAPS, configmap("a"))
        revision = (await server.get(CONFIGMAPS))["metadata"]["resourceVersion"]
        exact = f"{CONFIGMAPS}?resourceVersion={revision}&resourceVersionMatch=Exact"
        await server.create("/api/v1/namespaces/default/secrets", {"metadata": {"name": "other"}})
        assert (await server.get(exact))["metadata"]["resourceVersion"] == revision
        await server.create(CONFIGMAPS, configmap("b"))
        refused = await server.refused(410, "GET", exact)
        assert refused["message"] == "The resourceVersion for the provided list is too old."

    talk(conversation)


def test_a_replacement_says_what_it_replaces() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(CONFIGMAPS, configmap("a"))
        refused = await server.refused(400, "PUT", f"{CONFIGMAPS}/a", {"data": {"x": "y"}})
        words = "the name of the object (a based on URL) was undeterminable: name must be provided"
        assert refused["message"] == words
        assert (await server.patch(f"{CONFIGMAPS}/a", {"metadata": None})).json()["message"] == words

    talk(conversation)


def test_namespaces_that_every_cluster_has_stay() -> None:
    async def conversation(server: Bench) -> None:
        refused = await server.refused(403, "DELETE", "/api/v1/namespaces/kube-system")
        assert refused["message"] == 'namespaces "kube-system" is forbidden: this namespace may not be deleted'

    talk(conversation)


def test_a_deletion_with_a_body_is_what_the_body_says() -> None:
    async def conversation(server: Bench) -> None:
        await server.create(CONFIGMAPS, configmap("a"))
        await server.good("DELETE", f"{CONFIGMAPS}/a?dryRun=All")
        await server.refused(400, "DELETE", f"{CONFIGMAPS}/a", {"kind": "ConfigMap", "apiVersion": "v1"})
        await server.good("DELETE", f"{CONFIGMAPS}/a?dryRun=All", {"gracePeriodSeconds": 1})
        await server.refused(404, "GET", f"{CONFIGMAPS}/a")

    talk(conversation)


def test_events_are_the_same_in_both_of_their_groups() -> None:
    async def conversation(server: Bench) -> None:
        involved = {"kind": "Pod", "name": "web", "namespace": "default", "uid": "u"}
        body = {
            "metadata": {"name": "e1"},
            "involvedObject": involved,
            "reason": "Started",
            "message": "it runs",
            "type": "Normal",
        }
        await server.create("/api/v1/namespaces/default/events", body)
        newer = await server.get("/apis/events.k8s.io/v1/namespaces/default/events/e1")
        assert (newer["apiVersion"], newer["note"], newer["regarding"]) == ("events.k8s.io/v1", "it runs", involved)
        found = await server.get("/api/v1/events?fieldSelector=involvedObject.uid%3Du,involvedObject.name%3Dweb")
        assert len(found["items"]) == 1
        assert len((await server.get("/api/v1/events?fieldSelector=involvedObject.uid%3Dv"))["items"]) == 0

    talk(conversation)


def test_secrets_take_plain_text_and_keep_base64() -> None:
    async def conversation(server: Bench) -> None:
        made = await server.create(
            "/api/v1/namespaces/default/secrets", {"metadata": {"name": "s"}, "stringData": {"a": "b"}}
        )
        assert made["data"] == {"a": "Yg=="}
        assert "stringData" not in made

    talk(conversation)


def test_warnings_may_quote_anything_that_a_client_sent() -> None:
    async def conversation(server: Bench) -> None:
        body = {**configmap("a"), 'a"\n\u0001é\\': 1}
        reply = await server.good("POST", CONFIGMAPS, body)
        assert reply.headers["warning"] == '299 - "unknown field \\"a\\"\\u000a\\u0001é\\\\\\""'

    talk(conversation)


def test_warnings_are_no_more_than_clients_take() -> None:
    shown = warning_headers([*(f"w{number}" for number in range(200)), "w1", "x" * 1000])
    assert len(shown) == 33
    assert shown[-1] == (b"warning", b'299 - "and 169 more warnings"')
    assert len(warning_headers(["x" * 1000])[0][1]) > 1000
    assert len(warning_headers(["x" * 5000])[0][1]) < 300


def test_an_object_does_not_grow_beyond_what_etcd_takes_however_it_is_patched() -> None:
    async def conversation(server: Bench) -> None:
        made = await server.create(DEPLOYMENTS, deployment("web"))
        grown = {"metadata": {"annotations": {"a": "x" * 200_000}}}
        assert (await server.patch(f"{DEPLOYMENTS}/web", grown)).code == 200
        command = {"op": "add", "path": "/spec/template/spec/containers/0/args", "value": ["x" * 900_000]}
        assert (await server.patch(f"{DEPLOYMENTS}/web", [command], "json")).code == 200
        refused = await server.patch(
            f"{DEPLOYMENTS}/web", [{**command, "path": f"{command['path']}/-", "value": "x" * 900_000}], "json"
        )
        assert refused.json()["message"] == "etcdserver: request is too large"
        assert (refused.code, refused.json()["reason"]) == (413, "RequestEntityTooLarge")
        await server.refused(413, "POST", CONFIGMAPS, configmap("a", x="x" * (3 << 20)))
        await server.good("DELETE", f"{DEPLOYMENTS}/web")
        assert made["metadata"]["uid"]

    talk(conversation)
