"""See inputs drift away from the training data; run `modelmesh up` first."""

import time

from modelmesh.sdk import ModelMeshClient
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier

rows, labels = load_breast_cancer(return_X_y=True)
forest = RandomForestClassifier(random_state=0).fit(rows, labels)

with ModelMeshClient() as client:
    client.register_model("tumours-watched", forest, sample=rows[:20], data=rows)
    shifted = rows.copy()
    shifted[:, 0] *= 1.2  # one instrument measures too much
    for _ in range(40):
        client.predict("tumours-watched", shifted)
        time.sleep(0.3)
    time.sleep(2)
    for version, watch in client.drift("tumours-watched")["versions"].items():
        print(version, "drifts" if watch["drifting"] else "does not drift")
        for feature in sorted(watch["features"], key=lambda feature: feature["p"])[:3]:
            print(f"  {feature['feature']}: PSI {feature['psi']:.3f}, p {feature['p']:.2g}")
