"""`modelmesh gateway|router|worker|control|recorder|broker`: one role each, against MODELMESH_KAFKA."""

from __future__ import annotations

import typer

from ...broker.embedded.progress import no_progress
from ...runtime.run_role import run_role
from ...schemas.settings import Settings


def gateway() -> None:
    """Run the HTTP gateway."""
    from ...gateway.service import Gateway

    run_role("gateway", Settings(), Gateway)


def router() -> None:
    """Run the router."""
    from ...router.service import Router

    run_role("router", Settings(), Router)


def worker() -> None:
    """Run a worker."""
    from ...workers.service import Worker

    run_role("worker", Settings(), Worker)


def control() -> None:
    """Run the control plane."""
    from ...control_plane.service import ControlPlane

    run_role("control", Settings(), ControlPlane)


def recorder() -> None:
    """Run the recorder: the inference log and the comparison of shadows."""
    from ...recorder.service import Recorder

    run_role("recorder", Settings(), Recorder)


def broker() -> None:
    """Run the embedded Kafka."""
    from ..local.broker_role import Broker

    run_role("broker", Settings(), lambda settings: Broker(settings, no_progress), needs_broker=False)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (gateway, router, worker, control, recorder, broker):
        app.command()(command)
