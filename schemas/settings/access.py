"""Who may call the HTTP API."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from .mesh import MeshSettings


class HttpSettings(BaseSettings):
    """The access rules of every HTTP port, the roles' admin ports included."""

    model_config = SettingsConfigDict(env_prefix="MODELMESH_", extra="ignore")

    auth: Literal["off", "keys"] = Field(
        default="off", description="`keys`: the HTTP API requires an API key (or a token, where jwt_jwks_url is set)"
    )
    hosts: str = Field(
        default="",
        description="accepted values of the `Host` header, as a,b, beside localhost and the address that is listened on; "
        "`*`: any, which is the default where keys are required",
    )
    cors_origins: str = Field(
        default="",
        description="origins whose web pages may call the API, as https://a,http://b:3000; empty: none",
    )


class AccessSettings(MeshSettings, HttpSettings):
    """The gateway's keys, tokens and certificates."""

    jwt_jwks_url: str = Field(default="", description="JWKS URL of the OpenID provider; empty: tokens are not accepted")
    jwt_issuer: str = Field(default="", description="the issuer that tokens must name; empty: any")
    jwt_audience: str = Field(default="", description="the audience that tokens must name; empty: any")
    jwt_scope_claim: str = Field(default="scope", description="the claim that holds predict, deploy or admin")
    jwt_scope_prefix: str = Field(default="", description="prefix of these words in the claim")
    jwt_requests_per_minute: int | None = Field(
        default=None,
        ge=1,
        description="requests a minute of each subject whose token has no claim of its own for that; none: no limit",
    )
    jwt_rate_claim: str = Field(
        default="requests_per_minute", description="the claim that holds a subject's requests a minute"
    )
    tls_cert: Path | None = Field(default=None, description="certificate chain of the gateway (PEM); none: plain HTTP")
    tls_key: Path | None = Field(default=None, description="private key of tls_cert (PEM)")
