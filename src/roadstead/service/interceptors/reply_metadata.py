"""Which pod, of which version, answered? Sends the same few words before every reply, refusals included."""

from collections.abc import Mapping

from roadstead.service.interceptors.stage import Admission, Call, Stage
from roadstead.service.sendable import sendable_metadata


class ReplyMetadata(Stage):
    """Adds `values` to the initial metadata of every reply. Put it first, so that refusals carry them too.

    Costs one more write per RPC: grpc sends the metadata apart from the reply. Raises ValueError or TypeError for what
    cannot be sent as metadata.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = sendable_metadata(values.items())

    def admit(self, call: Call) -> Admission:
        """Add the values; refuses nothing."""
        call.reply_metadata += self._values
        return None
