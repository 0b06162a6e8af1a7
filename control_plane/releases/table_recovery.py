"""Faust's recovery of tables, changed so that no record is lost when it ends.

Faust (0.11) resumes the partitions of its streams, then seeks them to their committed offsets, then empties its agents' queues.
A record that is fetched after the seek and before the queues are emptied is neither used nor fetched again until the next
restart: after a restart of the control plane, commands got no answer. Here the partitions are resumed last.
"""

from __future__ import annotations

import asyncio
from typing import Any

from faust.tables import TableManager
from faust.tables.recovery import Recovery


class PausedRecovery(Recovery):  # type: ignore[misc]
    """A recovery that fetches no stream's records before all of it is over."""

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        """Start the streams: the steps of Faust's own method, in another order."""
        app: Any = self.app
        consumer = app.consumer
        await app.on_rebalance_complete.send()
        self._set_recovery_ended()
        actives, standbys = self.actives_for_table, self.standbys_for_table
        tables = self.tables.values()
        await asyncio.gather(*(table.on_recovery_completed(actives[table], standbys[table]) for table in tables))
        if app.consumer_generation_id != generation_id:
            return  # another rebalance has begun
        assignment = consumer.assignment()
        if assignment:
            await self._wait(consumer.perform_seek(), timeout=app.conf.broker_request_timeout)
        self.completed.set()
        app.flow_control.resume()  # empties the queues
        consumer.resume_flow()
        consumer.resume_partitions({tp for tp in assignment if not self._is_changelog_tp(tp)})
        await app._fetcher.maybe_start()
        self.tables.on_actives_ready()
        if not app.assignor.assigned_standbys():
            self.tables.on_standbys_ready()
        app.on_rebalance_end()


class PausedRecoveryTables(TableManager):  # type: ignore[misc]
    """Faust's tables with that recovery."""

    _recovery: Recovery | None = None

    @property
    def recovery(self) -> Recovery:
        """The recovery service."""
        if self._recovery is None:
            self._recovery = PausedRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
