"""A producer that backs off while no broker is available."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import AIOKafkaProducer

PAUSE = 0.2


class BackoffProducer(AIOKafkaProducer):  # type: ignore[misc]
    """Pauses after each failed metadata update.

    While records wait and no partition has a leader, aiokafka 0.14's sender requests metadata in a loop without a pause. A few
    such roles used two cores and delayed the start of the broker from 3 s to 18 s.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._update_metadata = self.client.force_metadata_update
        self._updating: asyncio.Task[bool] | None = None
        self.client.force_metadata_update = self._update_and_pause

    async def stop(self) -> None:
        """Send waiting records and close. If cancelled, close without sending them."""
        try:
            await super().stop()
        except asyncio.CancelledError:
            await self._sender.close()
            await self.client.close()
            raise

    def _update_and_pause(self) -> asyncio.Future[bool]:
        if self._updating is None or self._updating.done():
            self._updating = asyncio.create_task(self._update())
        return asyncio.shield(self._updating)

    async def _update(self) -> bool:
        updated: bool = await self._update_metadata()
        if not updated:
            await asyncio.sleep(PAUSE)
        return updated
