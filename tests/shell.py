"""Runs commands in this process."""

import asyncio

from modelmesh.cli.main import app
from typer.testing import CliRunner


def run(*arguments, **environment):
    """Run a command with these variables; return its `exit_code`, `output` and `exception`."""
    return CliRunner(env={"COLUMNS": "200"} | environment).invoke(app, [str(each) for each in arguments])


async def printed(*arguments, **environment):
    """Run a command in a thread; return its output. Raises its error."""
    done = await asyncio.to_thread(run, *arguments, **environment)
    if done.exception is not None:
        raise done.exception
    return done.output
