"""Imports that a model's process needs, done once in the fork server."""

import joblib  # noqa: F401
import onnx  # noqa: F401
import onnxruntime  # noqa: F401
import pandas  # noqa: F401
import sklearn.ensemble
import sklearn.linear_model
import sklearn.pipeline  # noqa: F401

from .adapters import onnx_adapter, sklearn_adapter  # noqa: F401
from .proof import proof  # noqa: F401
