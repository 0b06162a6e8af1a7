"""Every setting there is; each is read from the environment as MODELMESH_<NAME>."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from .machine import memory_bytes
from .topics import Topics


def _default_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


def _share_of_memory() -> int:
    return max(4 * 1024**3, memory_bytes() // 2)


class Settings(BaseSettings):
    """The settings of one role. Times are in seconds unless the name says otherwise."""

    model_config = SettingsConfigDict(env_prefix="MODELMESH_", extra="ignore")

    kafka: str = Field(default="127.0.0.1:9092", description="bootstrap servers, as host:port[,host:port]")
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="how Kafka is spoken to"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="how the user is proved to Kafka"
    )
    kafka_user: str = Field(default="", description="SASL user")
    kafka_password: SecretStr | None = Field(default=None, description="SASL password")
    kafka_ca: Path | None = Field(default=None, description="authority that signed Kafka's certificate (PEM)")
    kafka_cert: Path | None = Field(
        default=None, description="this client's certificate (PEM), where Kafka asks for one"
    )
    kafka_key: Path | None = Field(default=None, description="its private key (PEM)")
    prefix: str = Field(default="modelmesh", description="what all topic and group names begin with")
    data: Path = Field(
        default=Path("modelmesh-data"), description="folder for the embedded broker, SQLite and artifacts"
    )
    database: str = Field(default="", description="SQLAlchemy URL; empty: SQLite in the data folder")
    artifacts: str = Field(
        default="", description="fsspec URL of the artifact store; empty: a folder in the data folder"
    )
    name: str = Field(default_factory=_default_name, description="this replica's name; unique in the mesh")

    host: str = Field(default="127.0.0.1", description="address that the gateway listens on")
    hosts: str = Field(
        default="",
        description="names under which the service may be asked (`Host`), beside localhost and the address that it listens "
        "on, as a,b; `*`: any, which is the default where keys are asked for",
    )
    cors_origins: str = Field(
        default="",
        description="web pages of elsewhere that may ask, by their origins as https://a,http://b:3000; empty: none",
    )
    port: int = Field(default=8000, ge=0, le=65535, description="port that the gateway listens on")
    grpc_port: int | None = Field(
        default=None, ge=1, le=65535, description="port for the Open Inference Protocol over gRPC; none: not offered"
    )
    admin_port: int = Field(
        default=0, ge=0, le=65535, description="port of a role's /health and /metrics; 0: any free one"
    )
    mesh_state: Path | None = Field(
        default=None,
        description="file that says where the other roles of a local mesh are: the gateway's /metrics shows theirs too "
        "(`modelmesh up` sets it)",
    )
    admin_host: str = Field(default="127.0.0.1", description="address of a role's /health and /metrics")
    log_level: str = Field(default="info", description="debug, info, warning or error")
    access_log: Literal["off", "errors", "all"] = Field(
        default="all", description="which HTTP requests get a line in the log"
    )
    otlp: str = Field(
        default="", description="where traces go: an OTLP/HTTP address like http://host:4318/v1/traces; empty: nowhere"
    )
    trace_sample: float = Field(
        default=0.01, ge=0, le=1, description="share of the requests that are traced, where the caller has not decided"
    )

    deadline: float = Field(default=10.0, gt=0, description="how long a request may take when it does not say")
    max_deadline: float = Field(default=60.0, gt=0, description="the longest deadline a request may ask for")
    max_body_bytes: int = Field(default=4 * 1024 * 1024, gt=0, description="largest prediction request")
    max_artifact_bytes: int = Field(default=2 * 1024**3, gt=0, description="largest model file")
    max_batch_rows: int = Field(default=10_000, gt=0, description="most rows in one batch request")

    request_partitions: int = Field(default=8, ge=1, description="partitions of the requests topic")
    model_partitions: int = Field(default=8, ge=1, description="partitions of each model's topic")
    reply_partitions: int = Field(default=32, ge=1, description="partitions of the replies topic")
    replication: int = Field(default=1, ge=1, description="replication factor of the topics")
    queue_limit: int = Field(default=2048, ge=1, description="records in hand per partition before it is paused")
    commit_interval: float = Field(default=0.2, gt=0, description="how often finished offsets are committed")
    session_timeout: float = Field(
        default=10.0, ge=6.0, description="after so long a silent member of a group is given up"
    )
    drain_timeout: float = Field(default=20.0, gt=0, description="how long a stopping role finishes its work")

    heartbeat_interval: float = Field(default=0.1, gt=0, description="how often a role announces itself")
    replica_timeout: float = Field(default=0.45, gt=0, description="after so long a silent replica receives nothing")
    balancing: Literal["p2c", "random", "round_robin"] = Field(
        default="p2c", description="how a router chooses among replicas; the others are there to compare with"
    )
    warm_up: float = Field(
        default=5.0, ge=0, description="how long a version's share grows on a replica that loaded it"
    )
    max_in_flight: int = Field(
        default=8192, ge=1, description="requests without an answer in one client or gateway; more are refused"
    )
    max_in_flight_bytes: int = Field(
        default=512 * 1024 * 1024, gt=0, description="bytes of the requests in flight in one client or gateway"
    )
    queue_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="share of the time left that a request may wait for a worker, else it is refused",
    )
    max_attempts: int = Field(default=3, ge=1, description="how often a request is sent when no answer comes")
    retry_least: float = Field(default=0.1, gt=0, description="the least time after which a request is sent again")
    retry_budget: float = Field(
        default=0.2, ge=0, le=1, description="retries per request that a client may send on average"
    )
    breaker_failures: float = Field(
        default=0.5, gt=0, le=1, description="share of failures that opens a circuit breaker"
    )
    breaker_requests: int = Field(
        default=20, ge=1, description="requests that a breaker must have seen before it opens"
    )
    breaker_window: float = Field(default=10.0, gt=0, description="how far back a breaker looks")
    breaker_recovery: float = Field(default=5.0, gt=0, description="after so long an open breaker lets probes through")
    breaker_probes: int = Field(default=3, ge=1, description="probes that must all succeed to close a breaker")
    unload_grace: float = Field(
        default=10.0, ge=0, description="how long a worker keeps a version after its release ended"
    )
    observation_interval: float = Field(
        default=0.2, gt=0, description="how often a worker sums up what it did; after a failure it does so at once"
    )
    candidate_share: float = Field(
        default=0.5, gt=0, lt=1, description="share of the time left that a candidate gets before stable answers"
    )
    shadow_queue: int = Field(default=512, ge=1, description="shadow copies that wait in a worker; the oldest are shed")
    drift_window: int = Field(default=1000, ge=50, description="rows that are compared with the reference at a time")
    drift_alarm: float = Field(
        default=0.001, gt=0, le=0.1, description="false drift alarms per window, on average, while nothing changes"
    )
    inference_log: Literal["off", "outcomes", "full"] = Field(
        default="full", description="what the inference log keeps: nothing, outcomes alone, or bodies too"
    )
    inference_log_days: float = Field(default=7.0, gt=0, description="how long the inference log is kept")
    auth: Literal["off", "keys"] = Field(
        default="off", description="whether the HTTP API asks for an API key (or a token, where jwt_jwks_url is set)"
    )
    streams_per_key: int = Field(
        default=20, ge=1, description="streams of events and of the dashboard that one key or token may have open"
    )
    jwt_jwks_url: str = Field(default="", description="where an OpenID provider publishes its keys; empty: no tokens")
    jwt_issuer: str = Field(default="", description="the issuer that tokens must name; empty: any")
    jwt_audience: str = Field(default="", description="the audience that tokens must name; empty: any")
    jwt_scope_claim: str = Field(default="scope", description="the claim that holds predict, deploy or admin")
    jwt_scope_prefix: str = Field(default="", description="what stands before these words in the claim")
    jwt_requests_per_minute: int | None = Field(
        default=None,
        ge=1,
        description="requests a minute of each subject whose token has no claim of its own for that; none: no limit",
    )
    jwt_rate_claim: str = Field(
        default="requests_per_minute", description="the claim that holds a subject's requests a minute"
    )
    pickles: Literal["refuse", "allow"] = Field(
        default="refuse",
        description="whether model files that are code are taken: pickles, and all of PyTorch's files (`modelmesh up` and `demo` "
        "take them)",
    )
    sandbox: Literal["available", "whole"] = Field(
        default="available",
        description="whether a model that is code runs where this machine keeps its process apart as far as it can (it says "
        "at start what it refuses), or only where it does so whole",
    )
    model_memory_bytes: int = Field(
        default_factory=_share_of_memory,
        gt=0,
        description="most address space of a process that proves or serves a model, and most memory that the ONNX models which "
        "a worker runs itself may take together; by default half of the memory of the machine or container, and 4 GiB at least, "
        "which the libraries themselves take",
    )
    seal_key: Path | None = Field(
        default=None, description="ed25519 private key (PEM) with which the gateway seals what is registered"
    )
    seal_public_key: Path | None = Field(
        default=None, description="ed25519 public key (PEM): workers then load sealed versions alone"
    )
    signers: str = Field(
        default="",
        description="files of ed25519 public keys (PEM), as a,b: model files that are code, and that one of these signed "
        "(`modelmesh sign`), are taken where `pickles` is `refuse`; the gateway and the workers need it",
    )
    tls_cert: Path | None = Field(default=None, description="certificate chain of the gateway (PEM); none: plain HTTP")
    tls_key: Path | None = Field(default=None, description="its private key (PEM)")
    redis: str = Field(
        default="", description="Redis URL for the prediction cache and rate limits; empty: in the process"
    )
    cache: bool = Field(default=True, description="whether models that may be cached are")
    cache_bytes: int = Field(
        default=64 * 1024 * 1024, gt=0, description="largest prediction cache in a router's memory"
    )
    cache_patience: float = Field(default=0.005, gt=0, description="how long a lookup in Redis may take")
    max_batch_bytes: int = Field(
        default=16 * 1024 * 1024, gt=0, description="largest batch of several requests; its rows count as the widest"
    )
    watch_share: float = Field(
        default=0.001, ge=0, le=1, description="share of a compiled form's batches that the model itself is asked too"
    )
    watch_interval: float = Field(
        default=60.0, gt=0, description="seconds in which at least one such batch is asked of the model itself"
    )
    chaos: bool = Field(default=False, description="whether `modelmesh chaos` may inject faults into this role")
    command_timeout: float = Field(default=5.0, gt=0, description="how long a command waits for the control plane")
    load_timeout: float = Field(
        default=30.0, gt=0, description="how long a deployment waits until a worker has the version loaded"
    )
    proof_timeout: float = Field(default=120.0, gt=0, description="how long a model may take to prove itself")
    model_load_timeout: float = Field(
        default=120.0,
        gt=0,
        description="how long a model that runs in a process of its own may take to load; then the process is ended",
    )
    proofs_at_once: int = Field(default=4, ge=1, description="models that one gateway proves at once; others wait")
    registrations_per_key: int = Field(
        default=4, ge=1, description="registrations that one key or token may have under way in one gateway"
    )
    onnx_threads: int = Field(default=1, ge=1, description="threads that one ONNX session may use")
    inference_threads: int = Field(default=2, ge=1, description="batches of one version that may run at once")

    def topics(self) -> Topics:
        """Return the topics of this mesh."""
        return Topics(
            self.prefix,
            request_partitions=self.request_partitions,
            model_partitions=self.model_partitions,
            reply_partitions=self.reply_partitions,
        )

    @property
    def instance(self) -> str | None:
        """The name for static group membership; None where the name was made up, for nobody will come back under it."""
        return self.name if "name" in self.model_fields_set else None

    @property
    def database_url(self) -> str:
        """The database's URL, the embedded default filled in."""
        return self.database or f"sqlite+aiosqlite:///{self.data.resolve() / 'modelmesh.db'}"

    @property
    def artifacts_url(self) -> str:
        """The artifact store's URL, the embedded default filled in."""
        return self.artifacts or f"file://{self.data.resolve() / 'artifacts'}"

    @property
    def max_record_bytes(self) -> int:
        """The largest Kafka record: a body, or an answer to one, with room for headers; never less than our own records need."""
        return max(2 * self.max_body_bytes, 4 * 1024 * 1024) + 64 * 1024
