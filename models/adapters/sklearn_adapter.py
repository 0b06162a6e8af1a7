"""scikit-learn estimators and pipelines, as joblib files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...schemas.errors import InvalidInput, ModelMeshError
from ...schemas.releases import Framework
from ...schemas.signatures import Signature, TensorSpec
from ..artifact_check import is_skops, trusted_types
from ..compile_forest import compile_forest, is_forest
from ..fitted_types import seen_columns, takes_numbers_by_value, takes_text
from ..infer_signature import INPUT, as_floats, infer_inputs
from ..tables import frame_of, matrix_of
from ..tensors import Tensors
from .base import Predictor
from .registry import module_roots


class SklearnPredictor:
    """An estimator. Outputs: `label` and `probabilities` of a classifier, `label` of a clusterer, else `value`."""

    def __init__(self, model: Any, signature: Signature, examples: dict[str, Sequence[Any]] | None = None) -> None:
        from sklearn.base import is_classifier, is_clusterer, is_outlier_detector

        self.model = model
        self.signature = signature
        self.examples = examples or {}  # values of columns that the model has seen, where nobody gave a sample
        self.names_features = hasattr(model, "feature_names_in_")
        kinds = (is_classifier, is_clusterer, is_outlier_detector) if hasattr(model, "__sklearn_tags__") else ()
        self._answer = "label" if any(kind(model) for kind in kinds) else "value"
        self._has_probabilities = self._answer == "label" and hasattr(model, "predict_proba")

    def predict(self, inputs: Tensors) -> Tensors:
        """Call predict, and predict_proba where there is one."""
        features = self._features(inputs)
        outputs: Tensors = {self._answer: np.asarray(self.model.predict(features))}
        if self._has_probabilities:
            probabilities = self.model.predict_proba(features)
            if isinstance(probabilities, np.ndarray):  # several outputs give a list; their labels must do
                outputs["probabilities"] = probabilities
        return outputs

    def _features(self, inputs: Tensors) -> Any:
        """Return the rows as training had them: a table with its types, a matrix, or a list of texts."""
        specs = self.signature.inputs
        if self.names_features:
            columns = [str(name) for name in self.model.feature_names_in_]
            if len(specs) == 1 and specs[0].row_shape:
                return frame_of(inputs, specs, columns)
            by_name = {spec.name: spec for spec in specs}
            return frame_of(inputs, [by_name[name] for name in columns], columns)
        if len(specs) == 1:
            (spec,), (given,) = specs, inputs.values()
            array = matrix_of(given, spec)
            if spec.pandas:
                return frame_of({spec.name: given}, specs, range(array.shape[1] if array.ndim > 1 else 1))
            return array if array.ndim > 1 or spec.dtype == "string" else array[:, None]
        if any(spec.pandas or inputs[spec.name].dtype.kind in "OM" for spec in specs):
            numbered = [spec.name for spec in specs] == [str(number) for number in range(len(specs))]
            return frame_of(inputs, specs, range(len(specs)) if numbered else [spec.name for spec in specs])
        return np.column_stack([inputs[spec.name] for spec in specs])


class SklearnAdapter:
    """Serves estimators; compiles them with skl2onnx."""

    framework: Framework = "sklearn"
    suffix = ".joblib"
    releases_gil = False

    def recognises(self, model: Any) -> bool:
        """Anything built on scikit-learn that predicts."""
        return "sklearn" in module_roots(model) and hasattr(model, "predict")

    def save(self, model: Any, path: Path, sample: Any | None) -> None:
        """Write a joblib file."""
        import joblib

        joblib.dump(model, path)

    def save_safely(self, model: Any, path: Path) -> None:
        """Write a skops file, which cannot run code. Raises InvalidInput for an estimator that skops cannot hold."""
        import skops.io

        try:
            skops.io.dump(model, path)
        except Exception as error:  # skops has no one error for it
            raise InvalidInput(f"skops cannot write this estimator: {type(error).__name__}: {error}") from error
        trusted_types(path)

    def load(self, path: Path, signature: Signature | None, sample: list[Any], threads: int) -> Predictor:
        """Load a skops or a joblib file. The latter is a pickle: `check_artifact` says whether it may be loaded."""
        try:
            if is_skops(path):
                import skops.io

                model = skops.io.load(path, trusted=trusted_types(path))
            else:
                import joblib

                model = joblib.load(path)
        except ModelMeshError:
            raise
        except Exception as error:  # a file from outside can raise anything
            raise InvalidInput(f"the file does not load: {type(error).__name__}: {error}") from error
        if not hasattr(model, "predict"):
            raise InvalidInput(f"{type(model).__name__} has no predict(): it is not a model")
        if signature is not None and not signature.of_sample:
            return SklearnPredictor(model, signature)
        typed = () if signature is None else signature.inputs
        if sample or typed:
            return SklearnPredictor(model, Signature(inputs=_inputs(model, sample, typed)))
        specs, examples = _inputs_seen(model)
        return SklearnPredictor(model, Signature(inputs=specs), examples)

    def compile(self, predictor: Predictor, path: Path) -> list[bytes]:
        """Return the ONNX form on doubles, then on floats: linear models need the first, trees may only have the second."""
        assert isinstance(predictor, SklearnPredictor)
        specs = predictor.signature.inputs
        if is_forest(predictor.model) and all(spec.dtype == "float64" for spec in specs):
            return [compile_forest(predictor.model, specs[0].name if len(specs) == 1 else "inputs")]
        forms = []
        for wide in (True, False):
            try:
                forms.append(_to_onnx(predictor, wide))
            except Exception:
                continue
        return forms

    def libraries(self) -> list[str]:
        """scikit-learn and what its arrays are."""
        return ["scikit-learn", "numpy", "joblib", "skl2onnx", "onnxruntime"]


def _inputs(model: Any, sample: list[Any], typed: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Return a model's inputs by its sample and the types of the sample's columns."""
    names = getattr(model, "feature_names_in_", None)
    count = getattr(model, "n_features_in_", None)
    specs = infer_inputs(
        sample, names=None if names is None else list(map(str, names)), count=count, dtype=None, typed=typed
    )
    if len(specs) == count:
        # Where training had None among its values, or an imputer that fills it, a missing value is None.
        nones = {place for place, column in seen_columns(model, count).items() if column.none}
        specs = tuple(
            spec.model_copy(update={"none": True}) if place in nones else spec for place, spec in enumerate(specs)
        )
    return as_floats(specs) if takes_numbers_by_value(model) else specs


def _inputs_seen(model: Any) -> tuple[tuple[TensorSpec, ...], dict[str, Sequence[Any]]]:
    """Return the inputs that a fitted estimator itself says it takes, and values that it has seen in them."""
    if takes_text(model):
        return (TensorSpec(name=INPUT, dtype="string"),), {}
    count = int(getattr(model, "n_features_in_", 0))
    seen = seen_columns(model, count)
    names = list(map(str, getattr(model, "feature_names_in_", [])))
    if not names and all(column.dtype in ("float64", "int64") for column in seen.values()):
        return infer_inputs([], names=None, count=count or None), {}
    names = names or [str(place) for place in range(count)]
    typed = [column.spec(names[place]) for place, column in seen.items()]
    specs = infer_inputs([], names=names, count=count, typed=typed)
    examples: dict[str, Sequence[Any]] = {names[place]: column.examples for place, column in seen.items()}
    return as_floats(specs) if takes_numbers_by_value(model) else specs, examples


def _to_onnx(predictor: SklearnPredictor, wide: bool) -> bytes:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import BooleanTensorType, DoubleTensorType, FloatTensorType, StringTensorType

    number = DoubleTensorType if wide else FloatTensorType
    kinds = {"string": StringTensorType, "bool": BooleanTensorType}
    specs = predictor.signature.inputs
    steps = [step for _, step in getattr(predictor.model, "steps", [])]
    # A table stays a table only where a step selects columns by name; anything else takes one matrix.
    by_column = any(type(step).__name__ == "ColumnTransformer" for step in [predictor.model, *steps])
    if by_column:
        types = [(spec.name, kinds.get(spec.dtype, number)([None, 1])) for spec in specs]
    elif len(specs) == 1:
        width = specs[0].row_shape[0] if specs[0].row_shape else 1
        types = [(specs[0].name, kinds.get(specs[0].dtype, number)([None, width]))]
    else:
        types = [("inputs", number([None, len(specs)]))]
    options: dict[int, dict[str, bool]] = {}
    if hasattr(predictor.model, "predict_proba"):
        options = {id(predictor.model): {"zipmap": False}}
    model = convert_sklearn(predictor.model, initial_types=types, options=options)
    names = {"output_label": "label", "label": "label", "output_probability": "probabilities", "variable": "value"}
    _rename_outputs(model, names)
    data: bytes = model.SerializeToString()
    return data


def _rename_outputs(model: Any, names: dict[str, str]) -> None:
    """Give the graph's outputs the names that the estimator's outputs have here."""
    for output in model.graph.output:
        new = names.get(output.name, output.name)
        for node in model.graph.node:
            for position, name in enumerate(node.output):
                if name == output.name:
                    node.output[position] = new
            for position, name in enumerate(node.input):
                if name == output.name:
                    node.input[position] = new
        output.name = new
