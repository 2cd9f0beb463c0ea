"""3. What should exist: each controller is `plan(observed) -> actions`, carried out by one runner."""

from roadstead.client import ApiClient, Informers
from roadstead.controllers.catalog import ClusterFacts, all_controllers
from roadstead.controllers.runner import Runner

__all__ = ["ClusterFacts", "Runner", "all_controllers", "run_controllers"]


async def run_controllers(client: ApiClient, *, cluster: ClusterFacts, informers: Informers | None = None) -> None:
    """Run every controller until cancelled, with informers of their own unless they are given."""
    await Runner(client, all_controllers(cluster), informers=informers).run()
