"""One model through the code that registers, compiles and serves it, against itself."""

from __future__ import annotations

import json
import re
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from modelmesh.models.adapters.base import Predictor
from modelmesh.models.compiled.domain import OutsideDomain
from modelmesh.models.proof.proof import Limits, Proof, prove
from modelmesh.models.serving_process import load_checked
from modelmesh.models.values.bodies import parse_request
from modelmesh.models.values.inference_tensors import DATATYPE_OF
from modelmesh.models.values.json_values import json_of
from modelmesh.models.values.outputs import plain_array
from modelmesh.schemas.errors import ModelMeshError
from modelmesh.schemas.payloads.releases import VersionSpec
from modelmesh.schemas.payloads.signatures import Signature
from modelmesh.schemas.records import JSON, v2_content_type
from modelmesh.sdk.column_types import signature_of
from modelmesh.sdk.model_file import save_model
from modelmesh.sdk.rows import body_of, inputs_of, rows_of

from .cases import Case
from .inputs import KINDS, targets

_LIMITS = Limits(allow_pickles=True, memory_bytes=1 << 36, file_bytes=1 << 30)
_NEAR = 1e-6  # of numbers in answers, relative above 1; a float32 is written with as many digits as it has
# What no user should read: Python's words about our code.
RAW = re.compile(
    r"zip\(\) argument|Traceback|(Type|Key|Index|Attribute|Unbound\w*|Assertion)Error\b|NoneType|object has no attr"
)


@dataclass
class Result:
    """What came of a case: `outcome` is equal, unfit, refused or different."""

    case: str
    name: str
    inputs: str
    outcome: str
    served_as: str = ""
    why: str = ""
    details: list[str] = field(default_factory=list)


class Served:
    """A registered model as a worker has it: the served form, and the model itself for what that leaves to it."""

    def __init__(self, proof: Proof, path: Path, compiled: Path) -> None:
        self.signature = Signature.model_validate_json(proof.signature.model_dump_json())
        self._original = self._load(proof, path, "sklearn")
        self._form: Predictor = self._load(proof, compiled, "onnx") if proof.compiled else self._original

    def _load(self, proof: Proof, path: Path, served_as: Any) -> Predictor:
        spec = VersionSpec(
            version="1.0.0", framework="sklearn", served_as=served_as, artifact=str(path), digest="", sample=proof.sample,
            signature=self.signature, domain=proof.domain,
        )  # fmt: skip
        return load_checked(path, spec, 1, _LIMITS)

    def answer(self, body: bytes, content_type: str) -> dict[str, Any]:
        """Return the outputs of an answer's body, by name; nested lists as JSON has them."""
        question = parse_request(body, content_type, self.signature)
        try:
            outputs = self._form.predict(question.tensors)
        except OutsideDomain:
            outputs = self._original.predict(question.tensors)
        written, kind = question.write("m", "1.0.0", outputs, 0, question.rows)
        document = json.loads(written)
        if kind == JSON:
            return dict(document["outputs"])
        return {
            each["name"]: np.array(each["data"], object).reshape(each["shape"]).tolist() for each in document["outputs"]
        }


def v2_body(rows: list[Any], signature: Signature) -> tuple[bytes, str]:
    """Return a v2 body whose tensors of numbers are raw bytes, from the rows of a JSON body."""
    described, raw = [], b""
    for spec in signature.inputs:
        values = [row[spec.name] for row in rows] if isinstance(rows[0], dict) else rows
        datatype = DATATYPE_OF[spec.dtype]
        array = np.array(values, object) if datatype == "BYTES" else np.array(values, spec.dtype)
        tensor: dict[str, Any] = {"name": spec.name, "datatype": datatype, "shape": list(array.shape)}
        if datatype == "BYTES":
            tensor["data"] = array.ravel().tolist()
        else:
            data = np.ascontiguousarray(array).tobytes()
            tensor["parameters"] = {"binary_data_size": len(data)}
            raw += data
        described.append(tensor)
    header = orjson.dumps({"inputs": described})
    return header + raw, v2_content_type(len(header))


def own_answer(model: Any, rows: Any) -> dict[str, Any] | Exception:
    """Return what the estimator itself says, or what it raises."""
    from sklearn.base import is_classifier, is_clusterer, is_outlier_detector

    try:
        if not hasattr(model, "predict"):
            values = model.transform(rows)
            # One row's numbers without the row around them are that row.
            return {"value": _listed(values[None] if values.ndim == 1 and len(values) > len(rows) == 1 else values)}
        label = is_classifier(model) or is_clusterer(model) or is_outlier_detector(model)
        found = {"label" if label else "value": _listed(model.predict(rows))}
        if label and hasattr(model, "predict_proba") and isinstance(shares := model.predict_proba(rows), np.ndarray):
            found["probabilities"] = _listed(shares)
        return found
    except Exception as error:  # whatever it raises, the caller must get an error too
        return error


def _listed(answer: Any) -> Any:
    """Return an answer as JSON has it: rows, and null for what is no number."""
    if hasattr(answer, "toarray"):
        answer = answer.toarray()
    array = plain_array(np.asarray(answer))
    if array.ndim == 1:
        return [_finite(value) for value in array.tolist()]
    return [[_finite(value) for value in row] for row in array.reshape(len(array), -1).tolist()]


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value


def differs(want: dict[str, Any], have: dict[str, Any]) -> str:
    """Return in words how an answer differs from the model's own; nothing where it does not."""
    if want.keys() != have.keys():
        return f"outputs {sorted(have)}, not {sorted(want)}"
    for name, expected in want.items():
        found = have[name]
        if len(found) != len(expected):
            return f"{name}: {len(found)} rows, not {len(expected)}"
        for at, (a, b) in enumerate(zip(expected, found, strict=True)):
            ours, theirs = (value if isinstance(value, list) else [value] for value in (a, b))
            theirs = np.ravel(np.array(theirs, object)).tolist()
            if len(ours) != len(theirs) or not all(_same(x, y, name) for x, y in zip(ours, theirs, strict=True)):
                return f"{name}[{at}]: {str(b)[:80]}, not {str(a)[:80]}"
    return ""


def _same(want: Any, have: Any, name: str) -> bool:
    have = _finite(have)
    if name == "label":
        return type(want) is type(have) and want == have
    if isinstance(want, bool | str | None) or isinstance(have, bool | None):
        # A row of several kinds is text in the Open Inference Protocol, which has no other form for it.
        return (want == have and type(want) is type(have)) or (
            isinstance(have, str) and have in (str(want), "nan" if want is None else str(want))
        )
    return bool(abs(want - float(have)) <= _NEAR * max(1.0, abs(want)))


def _possible_targets(model: Any, case: Case, learnable: dict[str, Any]) -> list[Any]:
    from sklearn.base import is_classifier

    if case.target:
        return [learnable[case.target]]
    tags = model.__sklearn_tags__().target_tags
    if not tags.single_output:
        return [learnable["labels" if is_classifier(model) else "numbers"]]
    if tags.positive_only:
        return [learnable["positive"]]
    if is_classifier(model):
        return [learnable["three"], learnable["two"]]
    return [learnable["number"]] if tags.required else [None, learnable["three"]]


def _fit(model: Any, rows: Any, possible: list[Any]) -> str:
    """Fit to the first target that the model takes; return why it takes none."""
    why = ""
    for target in possible:
        try:
            model.fit(rows, target) if target is not None else model.fit(rows)
        except Exception as error:  # not a model for such inputs
            why = f"{type(error).__name__}: {error}".split("\n")[0][:150]
        else:
            return ""
    return why


def run_case(case: Case) -> Result:
    """Fit, register, serve and ask one model."""
    inputs = KINDS[case.inputs]()
    result = Result(str(case), case.name, case.inputs, "equal")
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder, np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        model = case.make()
        rows = inputs.rows
        if isinstance(rows, np.ndarray) and not model.__sklearn_tags__().input_tags.two_d_array:
            rows = rows[:, 0]
        if why := _fit(model, rows, _possible_targets(model, case, targets(inputs))):
            result.outcome, result.why = "unfit", why
            return result
        try:
            served, proof = _register(model, rows, Path(folder))
        except ModelMeshError as error:
            result.outcome, result.why = "refused", str(error.detail)[:250]
            itself = own_answer(model, rows[:25])
            if RAW.search(result.why) and not (isinstance(itself, Exception) and str(itself) in str(error.detail)):
                result.outcome = "different"
                result.details.append(f"raw words: {result.why}")
            return result
        except Exception as error:
            result.outcome = "different"
            result.details.append(f"registration raised {type(error).__name__}: {error}"[:250])
            return result
        result.served_as = "compiled" if proof.compiled else "as it is"
        result.why = str(proof.parity.get("why", ""))
        if not proof.deterministic:
            result.why = "it answers the same rows otherwise each time"
            return result
        for part in inputs.asked:
            _ask(model, served, part, result)
    if result.details:
        result.outcome = "different"
    return result


def _register(model: Any, rows: Any, folder: Path) -> tuple[Served, Proof]:
    sample = rows[:25]
    path, _ = save_model(model, None, sample, folder)
    typed = signature_of(sample)
    if typed is not None:
        typed = Signature.model_validate_json(typed.model_dump_json(exclude_defaults=True))
    compiled = folder / "compiled.onnx"
    proof = prove(path, "sklearn", typed, orjson.loads(json_of(rows_of(sample))), True, compiled)
    return Served(proof, path, compiled), proof


def _ask(model: Any, served: Served, part: Any, result: Result) -> None:
    """Ask one question both ways, and note what differs."""
    want = own_answer(model, part)
    rows = rows_of(part)
    for way in ("JSON", "v2"):
        try:
            body, kind = (body_of(inputs_of(part)), JSON) if way == "JSON" else v2_body(rows, served.signature)
        except (ModelMeshError, ValueError, TypeError, OverflowError):
            continue  # what cannot be written in that form is never sent
        try:
            have: dict[str, Any] | Exception = served.answer(body, kind)
        except Exception as error:
            have = error
        if found := _judge(want, have):
            result.details.append(f"{way}: {found}"[:300])


def _judge(want: dict[str, Any] | Exception, have: dict[str, Any] | Exception) -> str:
    if isinstance(have, ModelMeshError):
        # A clear refusal; where the model answers, only of what the caller can put right.
        if RAW.search(str(have.detail)) and not (isinstance(want, Exception) and str(want)[:40] in str(have.detail)):
            return f"raw words: {have.detail}"
        return "" if isinstance(want, Exception) or have.status in (400, 422) else f"error {have.status}: {have.detail}"
    if isinstance(want, Exception):
        return "" if isinstance(have, Exception) else f"it answers where the model raises {type(want).__name__}: {want}"
    if isinstance(have, Exception):
        return f"it raises {type(have).__name__} where the model answers: {have}"
    return differs(want, have)
