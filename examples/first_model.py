"""Register a forest and predict with it; run `modelmesh up` first."""

from modelmesh.sdk import ModelMeshClient, Prediction
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier

rows, labels = load_breast_cancer(return_X_y=True)
forest = RandomForestClassifier(random_state=0).fit(rows[::2], labels[::2])

with ModelMeshClient() as client:
    registered = client.register_model("tumours", forest, sample=rows[:20], author="examples")
    version = registered.version
    print(f"tumours {version.version} is served as {version.served_as}")
    print("one row:", client.predict("tumours", inputs=rows[1]).label)
    answers = client.predict_batch("tumours", rows[1::2])
    pairs = zip(answers, labels[1::2], strict=True)
    right = sum(isinstance(answer, Prediction) and answer.label == label for answer, label in pairs)
    print(f"{right} of {len(answers)} rows that it never saw are right")
