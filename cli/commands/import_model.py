"""`modelmesh import mlflow:/folder`: register a model that MLflow saved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...sdk import ModelMeshClient
from ..mlflow_folder import read_mlflow, typed_alone
from ..options import DEFAULT_URL, JsonOption, UrlOption, say


def import_model(
    source: Annotated[str, typer.Argument(help="mlflow:/path/of/the/model's/folder, the one with the file MLmodel.")],
    name: Annotated[str, typer.Option(help="The model's name here.")],
    version: Annotated[str | None, typer.Option(help="MAJOR.MINOR.PATCH; else the major is raised.")] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Register a model that MLflow saved; its input example is the sample, its run is in the lineage."""
    folder = Path(source.removeprefix("mlflow:"))
    path, framework, sample, metadata = read_mlflow(folder)
    if sample is None:
        sample = typed_alone(folder)
    with ModelMeshClient(url, timeout=600) as client:
        made = client.register_model(name, path, framework, metadata, version=version, sample=sample).version
    say(f"{name} {made.version} is registered (served as {made.served_as})", made, as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("import")(import_model)
