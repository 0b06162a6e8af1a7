"""The adapter for scikit-learn estimators and pipelines, as joblib or skops files."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np

from ...schemas.errors import InvalidInput, ModelMeshError
from ...schemas.payloads.releases import Framework
from ...schemas.payloads.signatures import Signature, TensorSpec
from ..artifacts.skops_check import is_skops, trusted_types
from ..compiled.compiler import compile_estimator
from ..compiled.graph import TOLERANCE
from ..error_text import explain_error
from ..proof.estimator_answers import array_of_answers
from ..proof.fitted_types import fitted_columns, takes_numbers_by_value, takes_text
from ..proof.infer_signature import INPUT, as_floats, infer_inputs
from ..proof.parity import compare
from ..values.tables import frame_of, matrix_of
from ..values.tensors import Tensors, read_inputs
from .base import Predictor
from .registry import module_roots


class SklearnPredictor:
    """An estimator. Outputs: `label` and `probabilities` of a classifier, `label` of a clusterer or outlier detector, else
    `value`: the numbers of a regressor, or the output of a transformer at the end of a pipeline.
    """

    def __init__(self, model: Any, signature: Signature, examples: dict[str, Sequence[Any]] | None = None) -> None:
        from sklearn.base import is_classifier, is_clusterer, is_outlier_detector

        self.model = model
        self.signature = signature
        self.examples = examples or {}  # values from training by column, if there is no sample
        self.names_features = hasattr(model, "feature_names_in_")
        kinds = (is_classifier, is_clusterer, is_outlier_detector) if hasattr(model, "__sklearn_tags__") else ()
        self._answer = "label" if any(kind(model) for kind in kinds) else "value"
        self._has_probabilities = self._answer == "label" and hasattr(model, "predict_proba")

    def predict(self, inputs: Tensors) -> Tensors:
        """Call predict, and predict_proba if the model has it; transform if it has no predict."""
        features = self._features(inputs)
        if not hasattr(self.model, "predict"):
            values = array_of_answers(self.model.transform(features))
            # Some transformers return the values of a single row without its dimension.
            is_single_row = values.ndim == 1 and len(values) > 1 and len(next(iter(inputs.values()))) == 1
            return {"value": values[None] if is_single_row else values}
        outputs: Tensors = {self._answer: array_of_answers(self.model.predict(features))}
        if self._has_probabilities:
            probabilities = self.model.predict_proba(features)
            if isinstance(probabilities, np.ndarray):  # for several outputs it is a list, which is left out
                outputs["probabilities"] = probabilities
        return outputs

    def _features(self, inputs: Tensors) -> Any:
        """Return the rows in the form of the training data: a DataFrame, a matrix, or an array of strings."""
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
    """Saves, loads and compiles estimators."""

    framework: Framework = "sklearn"
    suffix = ".joblib"
    runs_in_worker = False
    tolerance = TOLERANCE

    def recognises(self, model: Any) -> bool:
        """Whether the object is built on scikit-learn. Models that cannot predict are refused by `save`."""
        return "sklearn" in module_roots(model) and hasattr(model, "fit")

    def save(self, model: Any, path: Path, sample: Any | None) -> None:
        """Write a joblib file. Classes and functions defined in `__main__` are included as code.

        Raises InvalidInput for a model that cannot predict new rows, or cannot be pickled.
        """
        import joblib

        _check_answers(model)
        try:
            joblib.dump(model, path)
            if b"__main__" not in path.read_bytes():
                return
        except (pickle.PicklingError, AttributeError, TypeError):  # a lambda, or a class within a function
            pass
        try:
            path.write_bytes(cloudpickle.dumps(model))
        except Exception as error:  # a user's class can raise anything
            raise InvalidInput(
                f"this model cannot be written to a file: {type(error).__name__}: {error}", field="model"
            ) from error

    def save_safely(self, model: Any, folder: Path, sample: Any | None) -> tuple[Path, Framework]:
        """Write a skops file, which is data. Raises InvalidInput for an estimator that skops does not support."""
        import skops.io

        path = folder / "model.skops"
        try:
            skops.io.dump(model, path)
        except Exception as error:  # skops raises errors of several classes
            raise InvalidInput(f"skops cannot write this estimator: {type(error).__name__}: {error}") from error
        trusted_types(path)
        return path, "sklearn"

    def load(self, path: Path, signature: Signature | None, sample: list[Any], threads: int) -> Predictor:
        """Load a skops or a joblib file. The latter is a pickle: `check_artifact` must have allowed it."""
        try:
            if is_skops(path):
                import skops.io

                model = skops.io.load(path, trusted=trusted_types(path))
            else:
                import joblib

                model = joblib.load(path)
        except ModelMeshError:
            raise
        except (ModuleNotFoundError, AttributeError) as error:
            raise InvalidInput(
                f"the file needs code that is not installed where models are served ({error}): install its package there, "
                "or define the class in the script that registers the model, so that the file includes it",
                field="artifact",
            ) from error
        except Exception as error:  # an untrusted file can raise anything
            raise InvalidInput(
                f"the file does not load as joblib or pickle: {explain_error(error)}", field="artifact"
            ) from error
        _check_answers(model)
        if signature is not None and not signature.of_sample:
            return SklearnPredictor(model, signature)
        typed = () if signature is None else signature.inputs
        if sample or typed:
            return SklearnPredictor(model, Signature(inputs=_inputs(model, sample, typed)))
        specs, examples = _recorded_inputs(model)
        return SklearnPredictor(model, Signature(inputs=specs), examples)

    def compile(self, predictor: Predictor, path: Path) -> list[bytes]:
        """Return the one form that is the same function. Raises NotCompiled with the reason if there is none."""
        assert isinstance(predictor, SklearnPredictor)
        return [compile_estimator(predictor.model, predictor.signature)]

    def libraries(self) -> list[str]:
        """Return scikit-learn and the libraries that it runs with."""
        return ["scikit-learn", "numpy", "joblib", "onnxruntime"]


def _inputs(model: Any, sample: list[Any], typed: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Return a model's inputs, inferred from its sample and the types of the sample's columns."""
    names = getattr(model, "feature_names_in_", None)
    count = getattr(model, "n_features_in_", None)
    specs = infer_inputs(
        sample, names=None if names is None else list(map(str, names)), count=count, dtype=None, typed=typed
    )
    if len(specs) == count:
        # A missing value is None if training data had None, or an imputer fills None.
        nones = {position for position, column in fitted_columns(model, count).items() if column.none}
        specs = tuple(
            spec.model_copy(update={"none": True}) if position in nones else spec for position, spec in enumerate(specs)
        )
    floats = as_floats(specs) if takes_numbers_by_value(model) else specs
    return specs if floats != specs and _output_depends_on_type(model, specs, floats, sample) else floats


def _output_depends_on_type(
    model: Any, whole: tuple[TensorSpec, ...], floats: tuple[TensorSpec, ...], sample: list[Any]
) -> bool:
    """Whether a transformer's output differs between integers and equal floats."""
    if hasattr(model, "predict"):
        return False
    answers = []
    for specs in (whole, floats):
        signature = Signature(inputs=tuple(spec.model_copy(update={"missing": True}) for spec in specs))
        try:
            answers.append(SklearnPredictor(model, signature).predict(read_inputs(sample, signature)[0]))
        except Exception:  # errors in the sample are reported by the proof
            return True
    return not compare(answers[0], answers[1], TOLERANCE).holds


def _recorded_inputs(model: Any) -> tuple[tuple[TensorSpec, ...], dict[str, Sequence[Any]]]:
    """Return the inputs of a fitted estimator as it records them, and values from training by column."""
    if takes_text(model):
        return (TensorSpec(name=INPUT, dtype="string"),), {}
    count = int(getattr(model, "n_features_in_", 0))
    seen = fitted_columns(model, count)
    names = list(map(str, getattr(model, "feature_names_in_", [])))
    if not names and all(column.dtype in ("float64", "int64") for column in seen.values()):
        return infer_inputs([], names=None, count=count or None), {}
    names = names or [str(place) for place in range(count)]
    typed = [column.spec(names[place]) for place, column in seen.items()]
    specs = infer_inputs([], names=names, count=count, typed=typed)
    examples: dict[str, Sequence[Any]] = {names[place]: column.examples for place, column in seen.items()}
    # Without a sample it is not known whether a transformer passes integers on.
    by_value = hasattr(model, "predict") and takes_numbers_by_value(model)
    return as_floats(specs) if by_value else specs, examples


def _check_answers(model: Any) -> None:
    """Raise InvalidInput for a model that cannot predict rows on which it was not fitted."""
    name = type(model).__name__
    if name in ("LabelEncoder", "LabelBinarizer", "MultiLabelBinarizer"):
        raise InvalidInput(f"{name} transforms labels, not rows: it cannot be served")
    first = type(getattr(model, "steps", [("", model)])[0][1]).__name__
    if first in ("FeatureHasher", "DictVectorizer"):
        raise InvalidInput(f"{first} takes objects of any names, not rows of columns: it cannot be served")
    for part in _parts(model):
        if getattr(part, "input", None) in ("file", "filename"):
            raise InvalidInput(
                f"its {type(part).__name__} opens the files that its rows name: fit it with input='content'"
            )
    if hasattr(model, "predict") or hasattr(model, "transform"):
        return
    if hasattr(model, "fit_predict") or hasattr(model, "fit_transform"):
        raise InvalidInput(
            f"{name} has neither predict() nor transform() for new rows, only for those that it is fitted on: it cannot be served"
        )
    raise InvalidInput(f"{name} has neither predict() nor transform(): it is not a model")


def _parts(model: Any) -> Iterator[Any]:
    """Iterate over an estimator and all estimators in it, both parameters and fitted ones."""
    waiting, seen = [model], set()
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, list | tuple | set):
            waiting.extend(part)
        elif isinstance(part, dict):
            waiting.extend(part.values())
        elif isinstance(part, np.ndarray):
            waiting.extend(part.ravel().tolist() if part.dtype == object else ())
        elif hasattr(part, "get_params") and not isinstance(part, type):
            yield part
            waiting.extend(vars(part).values())
