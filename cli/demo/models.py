"""The demo's models, trained on data that scikit-learn ships, with their local answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


@dataclass(frozen=True)
class Trained:
    """A model with its held-out rows, and the labels and probabilities that it predicts for them locally."""

    name: str
    description: str
    model: Any
    reference: Any
    rows: list[Any]
    labels: list[Any]
    probabilities: np.ndarray[Any, Any]

    def agrees(self, row: int, outputs: dict[str, list[Any]]) -> bool:
        """Whether an answer to one row equals the local model's: the same label, and probabilities within 1e-5."""
        return bool(
            outputs["label"] == [self.labels[row]]
            and np.allclose(outputs["probabilities"][0], self.probabilities[row], rtol=0, atol=1e-5)
        )


def train_models() -> list[Trained]:
    """Train the three models; takes a second or two."""
    return [
        _trained("breast-cancer", "random forest, 30 numbers", RandomForestClassifier(100, random_state=0),
                 *load_breast_cancer(return_X_y=True)),
        _trained("digits", "neural network, 8 x 8 pixels",
                 make_pipeline(StandardScaler(), MLPClassifier((64,), random_state=0)), *load_digits(return_X_y=True)),
        _trained("payments", "pipeline on named columns, numbers and text", payments_pipeline(), *_payments()),
    ]  # fmt: skip


def _trained(name: str, description: str, model: Any, features: Any, labels: Any) -> Trained:
    train, held_out, train_labels, _ = train_test_split(features, labels, test_size=0.3, random_state=0)
    model.fit(train, train_labels)
    rows = held_out.to_dict("records") if isinstance(held_out, pd.DataFrame) else held_out.tolist()
    return Trained(
        name, description, model, train, rows, model.predict(held_out).tolist(), model.predict_proba(held_out)
    )


def payments_pipeline(classifier: Any = None, *, unknown: str = "ignore") -> Any:
    """Return a pipeline on an amount and a merchant; `unknown` is the encoder's handling of an unseen merchant."""
    columns = ColumnTransformer(
        [("number", StandardScaler(), ["amount"]), ("text", OneHotEncoder(handle_unknown=unknown), ["merchant"])]
    )
    return make_pipeline(columns, LogisticRegression() if classifier is None else classifier)


def payments_versions() -> dict[str, Any]:
    """Return later versions of the payments model: one as good, one that fails on unseen merchants, and a forest."""
    table, labels = _payments()
    versions = {
        "2.0.0": payments_pipeline(LogisticRegression(C=0.5)),
        "3.0.0": payments_pipeline(unknown="error"),
        "4.0.0": payments_pipeline(RandomForestClassifier(30, random_state=0)),
    }
    return {version: model.fit(table, labels) for version, model in versions.items()}


def _payments() -> tuple[pd.DataFrame, pd.Series]:
    """Return made-up payments: large ones at Acme are mostly fraud."""
    generator = np.random.default_rng(0)
    merchants = ["Acme", "Globex", "Initech", "Umbrella"]
    table = pd.DataFrame(
        {"amount": generator.gamma(2, 120, 1000).round(2), "merchant": generator.choice(merchants, 1000)}
    )
    risk = 0.02 + 0.8 * ((table["amount"] > 250) & (table["merchant"] == "Acme"))
    return table, pd.Series((generator.random(1000) < risk).astype(int))
