"""Requests at a steady rate, and waiting for a release's events."""

import asyncio
import contextlib
import random

from .waiting import until


class Traffic:
    """Requests at a rate; all answers are checked."""

    def __init__(self, client, model, *, rate=200.0):
        self.client, self.model, self.rate = client, model, rate
        self.flagged = 0.0
        self.wrong: list[object] = []
        self.answers: list[dict] = []

    @contextlib.asynccontextmanager
    async def flowing(self):
        stop = asyncio.Event()
        tasks = set()

        async def ask(number):
            flag = 1.0 if random.random() < self.flagged else 0.0
            try:
                answer = await self.client.predict(self.model, [flag, number], deadline=10)
            except Exception as error:
                self.wrong.append(error)
                return
            self.answers.append(answer)
            if answer["outputs"]["value"] != [2.0 * number]:
                self.wrong.append(answer)

        async def flow():
            number = 0
            while not stop.is_set():
                number = (number + 1) % 1000
                task = asyncio.create_task(ask(number))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                await asyncio.sleep(1 / self.rate)

        flowing = asyncio.create_task(flow())
        try:
            yield self
        finally:
            stop.set()
            await flowing
            await asyncio.gather(*tasks)

    async def more(self, count):
        goal = len(self.answers) + count

        async def enough():
            return len(self.answers) >= goal

        await until(enough, f"{count} more answers")


async def release_of(sdk, model):
    return next(d for d in await sdk.deployments() if d["model"] == model)


async def strategy_is(sdk, model, strategy):
    async def is_it():
        return (await release_of(sdk, model))["strategy"] == strategy

    await until(is_it, f"{model} is {strategy}")


async def history(sdk, model, kind):
    """Return the newest event of a kind, once it is in the history."""
    found = []

    async def there():
        found[:] = [event for event in await sdk.history(model) if event["kind"] == kind]
        return bool(found)

    await until(there, f"{kind} in the history of {model}")
    return found[0]
