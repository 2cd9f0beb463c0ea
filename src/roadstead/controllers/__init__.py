"""3. What should exist: each controller is `plan(observed) -> actions`, carried out by one runner."""

from roadstead.client import ApiClient
from roadstead.controllers.catalog import ClusterFacts, all_controllers
from roadstead.controllers.runner import Runner

__all__ = ["ClusterFacts", "Runner", "all_controllers", "run_controllers"]


async def run_controllers(client: ApiClient, *, cluster: ClusterFacts) -> None:
    """Run every controller until cancelled."""
    await Runner(client, all_controllers(cluster)).run()
