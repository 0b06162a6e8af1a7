"""Try a second version on live traffic as a canary; run `modelmesh up` and examples/first_model.py first."""

import threading

from modelmesh.sdk import ModelMeshClient
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier

rows, labels = load_breast_cancer(return_X_y=True)
forest = RandomForestClassifier(200, random_state=1).fit(rows[::2], labels[::2])

with ModelMeshClient() as client:
    registered = client.register_model("tumours", forest, sample=rows[:20], data=rows[::2])
    version = registered.version.version

    stop = threading.Event()

    def callers() -> None:
        with ModelMeshClient() as caller:
            number = 0
            while not stop.is_set():
                caller.predict("tumours", rows[number % len(rows)], routing_key=f"patient-{number}")
                number += 1

    calling = threading.Thread(target=callers)
    calling.start()
    try:
        started = client.create_canary(
            "tumours", version, steps=[10, 50, 100], hold_seconds=5, auto_rollback_threshold=0.05
        )
        print(started.event.summary)
        for event in client.watch("tumours"):
            print(event.summary)
            if event.kind in ("canary.promoted", "canary.rolled_back"):
                break
    finally:
        stop.set()
        calling.join()
