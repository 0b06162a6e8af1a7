"""The clients: `ModelMeshClient`, its async twin, and the errors that they raise."""

from ..schemas.errors import ModelMeshError
from .client import AsyncModelMeshClient, ModelMeshClient
from .prediction import Prediction

__all__ = ["AsyncModelMeshClient", "ModelMeshClient", "ModelMeshError", "Prediction"]
