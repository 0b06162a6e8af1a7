"""An A/B test: each user keeps a variant; run examples/first_model.py first."""

import time

from modelmesh.sdk import ModelMeshClient
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import ExtraTreesClassifier

rows, labels = load_breast_cancer(return_X_y=True)
trees = ExtraTreesClassifier(100, random_state=0).fit(rows[::2], labels[::2])

with ModelMeshClient() as client:
    live = next(d.version for d in client.deployments() if d.model == "tumours")
    version = client.register_model("tumours", trees, sample=rows[:20]).version.version
    arms = [
        {"name": "control", "version": live, "weight": 50},
        {"name": "extra-trees", "version": version, "weight": 50},
    ]
    client.create_experiment("tumours", arms, name="forest or extra trees")
    for number, row in enumerate(rows[1::2]):
        client.predict("tumours", row, routing_key=f"patient-{number}")
    time.sleep(2)
    for name, arm in (client.experiment("tumours").results or {}).items():
        print(name, arm["requests"], "requests", {label: round(o["share"], 2) for label, o in arm["outputs"].items()})
    client.stop_experiment("tumours", winner="control")
