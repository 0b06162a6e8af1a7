"""A whole mesh against a Kafka that speaks TLS alone and asks who is there."""

import numpy as np
import pytest
from modelmesh.broker.embedded.progress import no_progress
from modelmesh.broker.embedded.server import EmbeddedKafka, free_port
from modelmesh.broker.kafka.connection import wait_until_answers
from modelmesh.cli.local.mesh import Mesh
from modelmesh.producers.client import PredictionClient
from modelmesh.schemas.errors import BrokerUnavailable
from modelmesh.schemas.settings import Settings
from modelmesh.sdk import AsyncModelMeshClient
from sklearn.linear_model import LogisticRegression

from ..certificates import certificate


@pytest.fixture(scope="module")
async def secure(tmp_path_factory):
    """Settings that reach the Kafka, which runs."""
    folder = tmp_path_factory.mktemp("secure")
    cert, key = certificate(folder, "kafka")
    both = folder / "kafka.pem"
    both.write_bytes(key.read_bytes() + cert.read_bytes())
    port, inner, controller = free_port(), free_port(), free_port()
    login = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_mesh="the password";'
    extra = {
        "listeners": f"SECURE://127.0.0.1:{port},PLAINTEXT://127.0.0.1:{inner},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"SECURE://127.0.0.1:{port},PLAINTEXT://127.0.0.1:{inner}",
        "listener.security.protocol.map": "SECURE:SASL_SSL,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.name.secure.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.secure.plain.sasl.jaas.config": login,
        "listener.name.secure.ssl.keystore.type": "PEM",
        "listener.name.secure.ssl.keystore.location": str(both),
    }
    kafka = EmbeddedKafka(folder / "kafka", port=inner, extra=extra)
    await kafka.start()
    yield Settings(
        kafka=f"127.0.0.1:{port}",
        kafka_security="SASL_SSL",
        kafka_sasl_mechanism="PLAIN",
        kafka_user="mesh",
        kafka_password="the password",
        kafka_ca=cert,
        data=folder / "mesh",
        port=0,
    )
    await kafka.stop()


async def test_a_model_is_registered_and_asked_over_it(secure):
    rows = np.random.default_rng(0).normal(size=(40, 3))
    model = LogisticRegression().fit(rows, rows[:, 0] > 0)
    mesh = Mesh(secure, workers=1, external_kafka=True, progress=no_progress, on_restart=lambda member, code: None)
    async with mesh, AsyncModelMeshClient(mesh.url) as sdk, PredictionClient(mesh.settings) as client:
        await sdk.register_model("secure", model, sample=rows)
        expected = bool(model.predict(rows[:1])[0])
        assert (await sdk.predict("secure", rows[0])).label == expected
        assert (await client.predict("secure", rows[0].tolist()))["outputs"]["label"] == [expected]
        for log in (secure.data / "logs").glob("*.log"):
            assert "the password" not in log.read_text()


@pytest.mark.parametrize("wrong", [{"kafka_password": "guessed"}, {"kafka_ca": None}, {"kafka_security": "PLAINTEXT"}])
async def test_who_does_not_belong_is_told_so(secure, wrong):
    settings = Settings(**(secure.model_dump(exclude_unset=True) | wrong))
    with pytest.raises(BrokerUnavailable, match=secure.kafka):
        await wait_until_answers(settings, 1.0)
