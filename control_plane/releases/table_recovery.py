"""Faust's recovery of tables, changed so that no record is lost when it ends.

Faust (0.11) resumes the partitions of its streams, then seeks them to their committed offsets, then empties its agents' queues.
A record that is fetched after the seek and before the queues are emptied is neither used nor fetched again until the next
restart: after a restart of the control plane, commands got no answer. Here fetching stops until the queues have been emptied.
"""

from __future__ import annotations

from faust.tables import TableManager
from faust.tables.recovery import Recovery


class PausedRecovery(Recovery):  # type: ignore[misc]
    """A recovery that fetches no stream's records before all of it is over."""

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        """Start the streams, which ends with `resume_flow`."""
        self.app.consumer.stop_flow()
        await super().on_recovery_completed(generation_id)


class PausedRecoveryTables(TableManager):  # type: ignore[misc]
    """Faust's tables with that recovery."""

    _recovery: Recovery | None = None

    @property
    def recovery(self) -> Recovery:
        """The recovery service."""
        if self._recovery is None:
            self._recovery = PausedRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
