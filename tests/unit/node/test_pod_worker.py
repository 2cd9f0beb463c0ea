import asyncio
import time
from types import SimpleNamespace

from roadstead.lib.tasks import spawn
from roadstead.node.pod_worker import PodWorker
from roadstead.node.start_queue import StartGate

POD = {"metadata": {"name": "web", "namespace": "default", "uid": "u-1"}, "spec": {"containers": [{"name": "main"}]}}


def test_a_worker_that_is_woken_and_cancelled_at_once_ends():
    async def scenario():
        around = SimpleNamespace(volumes=lambda pod: None, runtime=SimpleNamespace(isolated=True), gate=StartGate())
        worker = PodWorker(POD, around)
        worker.record.retry_at = time.time() + 600
        running = spawn(worker.run(), name="worker")
        await asyncio.sleep(0.01)
        worker._wake.set()
        await asyncio.sleep(0)
        running.cancel()
        done, _ = await asyncio.wait([running], timeout=2)
        return running in done and running.cancelled()

    assert asyncio.run(scenario())
