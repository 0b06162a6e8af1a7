"""The clients: `ModelMeshClient`, `AsyncModelMeshClient`, and the base class of their errors."""

from ..schemas.errors import ModelMeshError
from .client import AsyncModelMeshClient
from .prediction import Prediction
from .sync_client import ModelMeshClient

__all__ = ["AsyncModelMeshClient", "ModelMeshClient", "ModelMeshError", "Prediction"]
