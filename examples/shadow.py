"""Compare a version's answers with production's, without returning them to callers; run examples/first_model.py first."""

import time

from modelmesh.sdk import ModelMeshClient
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

rows, labels = load_breast_cancer(return_X_y=True)
other = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows[::2], labels[::2])

with ModelMeshClient() as client:
    version = client.register_model("tumours", other, sample=rows[:20]).version.version
    client.create_shadow("tumours", None, version)
    client.predict_batch("tumours", rows[1::2])
    time.sleep(2)
    found = client.shadow("tumours")
    low, high = found["agreement_interval"]
    print(f"{found['paired']} pairs agree on {found['agreement']:.1%} ({low:.1%} to {high:.1%})")
    for worst in found["worst"][:3]:
        print(worst["request_id"], worst["production"], worst["shadow"])
    client.stop_shadow("tumours")
