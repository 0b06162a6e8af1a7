"""Every setting, read from the environment as MODELMESH_<NAME>. Times are in seconds unless the name says otherwise.

Each module is what one role or concern needs; a function takes the smallest class that has what it reads.
"""

from __future__ import annotations

from .access import AccessSettings, HttpSettings
from .client import ClientSettings
from .control import ControlSettings
from .gateway import GatewaySettings
from .kafka import KafkaSettings
from .mesh import MeshSettings
from .models import ModelSettings
from .pipeline import PipelineSettings
from .recorder import RecorderSettings
from .role import RoleSettings
from .router import RouterSettings
from .storage import StorageSettings
from .worker import WorkerSettings


class Settings(GatewaySettings, RouterSettings, WorkerSettings, ControlSettings, RecorderSettings):
    """The settings of all roles, for the commands that start them and for a mesh on one machine."""


__all__ = [
    "AccessSettings",
    "ClientSettings",
    "ControlSettings",
    "GatewaySettings",
    "HttpSettings",
    "KafkaSettings",
    "MeshSettings",
    "ModelSettings",
    "PipelineSettings",
    "RecorderSettings",
    "RoleSettings",
    "RouterSettings",
    "Settings",
    "StorageSettings",
    "WorkerSettings",
]
