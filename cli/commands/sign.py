"""`modelmesh sign`: an author's signature over a model file, for deployments that take code from known authors alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ...models.artifacts.authors import sign
from ...models.artifacts.store import digest_of
from ...schemas.errors import InvalidInput
from ...schemas.names import check_model_name
from ..options import JsonOption


def sign_file(
    file: Annotated[Path, typer.Argument(help="The model file, as it will be registered.")],
    model: Annotated[str, typer.Option(help="The name that it will be registered under.")],
    key: Annotated[Path, typer.Option(help="Your ed25519 private key: `openssl genpkey -algorithm ed25519`.")],
    as_json: JsonOption = False,
) -> None:
    """Print a signature for `register --author-signature`; the deployment names your public key in MODELMESH_SIGNERS."""
    if not file.is_file():
        raise InvalidInput(f"there is no file {file}", field="file")
    digest = digest_of(file)
    signature = sign(key, check_model_name(model), digest)
    print(json.dumps({"model": model, "digest": digest, "author_signature": signature}) if as_json else signature)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("sign")(sign_file)
