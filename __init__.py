"""ModelMesh serves machine-learning models over a Kafka log."""

__version__ = "0.1.0"
