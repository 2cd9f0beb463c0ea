"""The statuses of ResourceQuotas: what `kubectl describe quota` shows of the sums that `admission.quotas` keeps.

A quota that changes faster than its status can be written is written with what is true by then.
"""

import structlog

from roadstead.api.errors import ApiError, NotFound
from roadstead.api.objects import Object, ObjectKey
from roadstead.api.resources import resource
from roadstead.apiserver.admission.quotas import Quotas
from roadstead.apiserver.calls import Call, User
from roadstead.apiserver.http.parameters import WriteOptions
from roadstead.apiserver.writer import Writer
from roadstead.lib.workqueue import WorkQueue

_log = structlog.get_logger(__name__)
_QUOTA = resource("ResourceQuota")
_OPTIONS = WriteOptions(field_manager="resourcequota-controller")
_RETRY_SECONDS = 1.0


class QuotaStatuses:
    """Writes, as `user`, what is used of every quota into its status."""

    def __init__(self, quotas: Quotas, writer: Writer, user: User) -> None:
        self._quotas = quotas
        self._writer = writer
        self._user = user
        self._due: WorkQueue[ObjectKey] = WorkQueue()
        quotas.on_change = lambda namespace, name: self._due.add(ObjectKey(namespace, name))
        for key in quotas.names():
            quotas.on_change(*key)

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                key = await self._due.get()
                await self._write(*key)
                self._due.done(key)
        finally:
            self._due.close()

    async def _write(self, namespace: str, name: str) -> None:
        call = Call("update", _QUOTA, namespace, name, "status", {}, self._user)
        try:
            await self._writer.change(call, _OPTIONS, self._with_status)
        except NotFound:
            return
        except ApiError as error:
            _log.error("the status of a quota cannot be written", namespace=namespace, name=name, error=error.message)
            self._due.add_after(ObjectKey(namespace, name), _RETRY_SECONDS)

    def _with_status(self, quota: Object) -> Object:
        account = self._quotas.account(quota["metadata"]["namespace"], quota["metadata"]["name"])
        if account is None:
            return quota
        used = {resource: str(quantity) for resource, quantity in account.used.items()}
        return {**quota, "status": {"hard": (quota.get("spec") or {}).get("hard") or {}, "used": used}}
