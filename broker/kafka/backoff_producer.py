"""A producer that backs off while there is no broker."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import AIOKafkaProducer

PAUSE = 0.2


class BackoffProducer(AIOKafkaProducer):  # type: ignore[misc]
    """Waits a moment after each metadata update that failed.

    aiokafka 0.14's sender asks for metadata again and again, without a pause, while records wait and no partition has a
    leader. A handful of such roles took all of two cores from the broker that was starting: it needed 18 s instead of 3.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._update_metadata = self.client.force_metadata_update
        self._updating: asyncio.Task[bool] | None = None
        self.client.force_metadata_update = self._update_and_pause

    async def stop(self) -> None:
        """Send what waits, and close. Cancelled, because Kafka does not take it, it closes all the same."""
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
