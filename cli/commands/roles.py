"""`modelmesh gateway|router|worker|control|recorder|broker`: run one role against MODELMESH_KAFKA."""

from __future__ import annotations

import typer

from ...broker.embedded.progress import no_progress
from ...runtime.run_role import run_role
from ...schemas.settings.broker import BrokerSettings
from ...schemas.settings.control import ControlSettings
from ...schemas.settings.gateway import GatewaySettings
from ...schemas.settings.recorder import RecorderSettings
from ...schemas.settings.router import RouterSettings
from ...schemas.settings.worker import WorkerSettings


def gateway() -> None:
    """Run the HTTP gateway."""
    from ...gateway.service import Gateway

    run_role("gateway", GatewaySettings(), Gateway)


def router() -> None:
    """Run the router."""
    from ...router.service import Router

    run_role("router", RouterSettings(), Router)


def worker() -> None:
    """Run a worker."""
    from ...workers.service import Worker

    run_role("worker", WorkerSettings(), Worker)


def control() -> None:
    """Run the control plane."""
    from ...control_plane.service import ControlPlane

    run_role("control", ControlSettings(), ControlPlane)


def recorder() -> None:
    """Run the recorder: inference log and shadow comparison."""
    from ...recorder.service import Recorder

    run_role("recorder", RecorderSettings(), Recorder)


def broker() -> None:
    """Run the embedded Kafka."""
    from ..local.broker_role import Broker

    run_role("broker", BrokerSettings(), lambda settings: Broker(settings, no_progress), needs_broker=False)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (gateway, router, worker, control, recorder, broker):
        app.command()(command)
