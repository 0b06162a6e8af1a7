"""`modelmesh import|sign`: register a model that MLflow saved, and sign a model file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ...models.artifacts.authors import sign
from ...models.artifacts.store import digest_of
from ...schemas.errors import InvalidInput
from ...schemas.names import check_model_name
from ...sdk import ModelMeshClient
from ..mlflow_folder import made_up_sample, read_mlflow
from ..options import DEFAULT_URL, JsonOption, UrlOption, say


def import_model(
    source: Annotated[str, typer.Argument(help="mlflow:/path/of/the/model's/folder, the one with the file MLmodel.")],
    name: Annotated[str, typer.Option(help="The name to register it under.")],
    version: Annotated[str | None, typer.Option(help="MAJOR.MINOR.PATCH; default: the next major.")] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Register a model that MLflow saved; its input example becomes the sample, and its run id is in the metadata."""
    folder = Path(source.removeprefix("mlflow:"))
    path, framework, sample, metadata = read_mlflow(folder)
    if sample is None:
        sample = made_up_sample(folder)
    with ModelMeshClient(url, timeout=600) as client:
        made = client.register_model(name, path, framework, metadata, version=version, sample=sample).version
    say(f"{name} {made.version} is registered (served as {made.served_as})", made, as_json=as_json)


def sign_file(
    file: Annotated[Path, typer.Argument(help="The model file, as it will be registered.")],
    model: Annotated[str, typer.Option(help="The name that it will be registered under.")],
    key: Annotated[Path, typer.Option(help="Your ed25519 private key: `openssl genpkey -algorithm ed25519`.")],
    as_json: JsonOption = False,
) -> None:
    """Print a signature for `register --author-signature`; the deployment lists your public key in MODELMESH_SIGNERS."""
    if not file.is_file():
        raise InvalidInput(f"there is no file {file}", field="file")
    digest = digest_of(file)
    signature = sign(key, check_model_name(model), digest)
    print(json.dumps({"model": model, "digest": digest, "author_signature": signature}) if as_json else signature)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("import")(import_model)
    app.command("sign")(sign_file)
