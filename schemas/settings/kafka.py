"""How to reach Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class KafkaSettings(BaseSettings):
    """The brokers' addresses and this client's credentials."""

    model_config = SettingsConfigDict(env_prefix="MODELMESH_", extra="ignore")

    kafka: str = Field(default="127.0.0.1:9092", description="bootstrap servers, as host:port[,host:port]")
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="security protocol"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="SASL mechanism"
    )
    kafka_user: str = Field(default="", description="SASL user")
    kafka_password: SecretStr | None = Field(default=None, description="SASL password")
    kafka_ca: Path | None = Field(default=None, description="CA certificate that signed Kafka's certificate (PEM)")
    kafka_cert: Path | None = Field(
        default=None, description="this client's certificate (PEM), where Kafka requires one"
    )
    kafka_key: Path | None = Field(default=None, description="private key of kafka_cert (PEM)")
