import asyncio
import datetime

from scripted_server import scripted_server

from roadstead.client import ApiClient, Credentials, EventRecorder
from roadstead.client.events import EventLog, Occurrence

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop", "uid": "u1"}}
NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


def test_the_first_occurrence_is_an_event():
    event = EventLog("scheduler").first(Occurrence(POD, "Normal", "Scheduled", "to n"), NOW)
    name = event["metadata"].pop("name")
    assert name.startswith("web.")
    assert event == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": "shop"},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": "web", "namespace": "shop", "uid": "u1"},
        "reason": "Scheduled",
        "message": "to n",
        "type": "Normal",
        "source": {"component": "scheduler"},
        "reportingComponent": "scheduler",
        "reportingInstance": "scheduler",
        "firstTimestamp": "2026-01-02T03:04:05Z",
        "lastTimestamp": "2026-01-02T03:04:05Z",
        "count": 1,
    }


def test_the_same_again_is_counted_and_another_message_is_not():
    log = EventLog("kubelet")
    again = Occurrence(POD, "Warning", "BackOff", "restarting")
    first = log.first(again, NOW)
    later = NOW + datetime.timedelta(seconds=9)
    assert log.again(again, later) == (
        "shop",
        first["metadata"]["name"],
        {"count": 2, "lastTimestamp": "2026-01-02T03:04:14Z"},
    )
    assert log.again(Occurrence(POD, "Warning", "BackOff", "other"), NOW) is None


def test_objects_without_a_namespace_have_their_events_in_default():
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}
    assert EventLog("x").first(Occurrence(node, "Normal", "Ready", ""), NOW)["metadata"]["namespace"] == "default"


def test_the_recorder_writes_counts_and_outlives_refusals():
    refuse = {"next": True}

    async def handler(seen, answer):
        if refuse["next"]:
            refuse["next"] = False
            await answer.send({"kind": "Status", "reason": "Forbidden", "message": "namespace ends"}, 403)
        else:
            await answer.send({})

    async def run():
        async with (
            scripted_server(handler) as server,
            ApiClient(server.url, Credentials(), user_agent="test") as client,
        ):
            recorder = EventRecorder(client, component="kubelet")
            for _ in range(3):
                recorder.record(POD, "Warning", "BackOff", "restarting")
            await recorder.flush()
            return [(seen.method, seen.json().get("count")) for seen in server.seen]

    assert asyncio.run(run()) == [("POST", 1), ("POST", 1), ("PATCH", 2)]
