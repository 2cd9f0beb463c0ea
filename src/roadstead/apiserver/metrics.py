"""metrics.k8s.io: what pods and the node use, measured when somebody asks (`kubectl top`). Nothing of it is stored."""

from collections.abc import Sequence

import msgspec

from roadstead.api.errors import ServiceUnavailable
from roadstead.api.objects import Object, labels_of, metadata_of
from roadstead.apiserver.calls import Call, missing
from roadstead.apiserver.http.parameters import ListOptions
from roadstead.apiserver.store import Location, Record
from roadstead.apiserver.streams.kubelet import Kubelet

GROUP = "metrics.k8s.io"


class Metrics:
    """Asks the node and answers in the form of stored objects."""

    def __init__(self, kubelet: Kubelet | None) -> None:
        self._kubelet = kubelet

    async def get(self, call: Call) -> Record:
        """Return what one pod or node uses. Raises NotFound (also for a pod that does not run), ServiceUnavailable."""
        for measured in await self._measured(call):
            metadata = metadata_of(measured)
            if (metadata.get("namespace", ""), metadata["name"]) == (call.namespace, call.name):
                return _record(call, measured)
        raise missing(call.resource, call.name)

    async def list(self, call: Call) -> list[Record]:
        """Return what the pods or nodes of a list use. Raises BadRequest, ServiceUnavailable."""
        options = ListOptions.of(call.query)
        return [
            _record(call, measured)
            for measured in await self._measured(call)
            if call.namespace in ("", metadata_of(measured).get("namespace", ""))
            and options.labels.matches(labels_of(measured))
            and options.fields.matches(measured)
        ]

    async def _measured(self, call: Call) -> Sequence[Object]:
        if self._kubelet is None:
            raise ServiceUnavailable("there is no node whose use could be measured")
        return await self._kubelet.metrics(call.resource.kind)


def _record(call: Call, measured: Object) -> Record:
    metadata = metadata_of(measured)
    location = Location(call.collection, metadata.get("namespace", ""), metadata["name"])
    return Record(location, 0, msgspec.json.encode(measured), labels_of(measured))
