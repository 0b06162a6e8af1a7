"""The clients: `ModelMeshClient`, its async twin, and the errors that they raise."""

from ..schemas.errors import ModelMeshError
from .client import AsyncModelMeshClient
from .prediction import Prediction
from .sync_client import ModelMeshClient

__all__ = ["AsyncModelMeshClient", "ModelMeshClient", "ModelMeshError", "Prediction"]
