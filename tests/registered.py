"""A model as after registration, called with request bodies but without a mesh."""

import json
from pathlib import Path

import joblib
import numpy as np
import orjson
from modelmesh.models.adapters.registry import adapter_for
from modelmesh.models.proof.proof import prove
from modelmesh.models.values.bodies import parse_request
from modelmesh.models.values.json_values import json_of
from modelmesh.schemas.payloads.signatures import Signature
from modelmesh.sdk.column_types import signature_of
from modelmesh.sdk.rows import body_of, inputs_of, rows_of


class Registered:
    """A registered scikit-learn model; `predict` converts inputs and outputs through JSON, as a request does."""

    def __init__(self, model, folder: Path, sample=None):
        path = folder / "model.joblib"
        joblib.dump(model, path)
        rows = [] if sample is None else orjson.loads(json_of(rows_of(sample)[:100]))
        typed = None if sample is None else signature_of(sample)
        if typed is not None:
            typed = Signature.model_validate_json(typed.model_dump_json(exclude_defaults=True))
        proof = prove(path, "sklearn", typed, rows, False, folder / "compiled.onnx")
        self.signature = Signature.model_validate_json(proof.signature.model_dump_json())
        self.predictor = adapter_for("sklearn").load(path, self.signature, [], 1)

    def ask(self, body: bytes, content_type: str = "application/json"):
        """Answer a body; return the outputs by name, as JSON values."""
        parsed = parse_request(body, content_type, self.signature)
        outputs = self.predictor.predict(parsed.tensors)
        answer, _ = parsed.write("m", "1.0.0", outputs, 0, parsed.rows)
        return json.loads(answer)["outputs"]

    def predict(self, inputs):
        """Return the outputs by name for any inputs that the SDK accepts."""
        return self.ask(body_of(inputs_of(inputs)))

    def features(self, inputs):
        """Return the features that the model itself gets."""
        parsed = parse_request(body_of(inputs_of(inputs)), "application/json", self.signature)
        return self.predictor._features(parsed.tensors)

    def numbers(self, inputs):
        """Return the probabilities, or the values, as an array."""
        outputs = self.predict(inputs)
        return np.array(outputs["probabilities"] if "probabilities" in outputs else outputs["value"])
