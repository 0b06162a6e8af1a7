"""`modelmesh register|predict|models|versions|deploy|delete`: SDK calls from a shell."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ...schemas.errors import InvalidInput
from ...sdk import ModelMeshClient
from ..options import DEFAULT_URL, JsonOption, UrlOption, json_text

console = Console()


def read_json(text: str, what: str) -> Any:
    """Return JSON that is given as text or as @file."""
    if text.startswith("@"):
        path = Path(text[1:])
        if not path.is_file():
            raise InvalidInput(f"{what}: there is no file {path}", field=what)
        text = path.read_text()
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{what} is not valid JSON: {error}", field=what) from None


def _model_of(source: str) -> Any:
    """Return a path, or the object that `module:attribute` names."""
    if Path(source).exists() or ":" not in source:
        return Path(source)
    module, _, attribute = source.partition(":")
    sys.path.insert(0, "")  # also find modules in the working directory
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InvalidInput(f"{source}: {error}", field="source") from None


def register(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    source: Annotated[str, typer.Argument(help="A file, or module:attribute.")],
    framework: Annotated[str | None, typer.Option(help="sklearn, torch or onnx; default: detected.")] = None,
    version: Annotated[str | None, typer.Option(help="MAJOR.MINOR.PATCH; default: the next major.")] = None,
    sample: Annotated[str | None, typer.Option(help="Input rows as JSON, or @file.")] = None,
    metadata: Annotated[str | None, typer.Option(help="An object as JSON, or @file.")] = None,
    parent: Annotated[str | None, typer.Option(help="The version that it is derived from.")] = None,
    author: Annotated[str, typer.Option(help="The author.")] = "",
    compile: Annotated[bool, typer.Option(help="Compile to ONNX if the answers stay the same.")] = True,
    cache_ttl: Annotated[float, typer.Option(help="Seconds for which answers are cached.")] = 0.0,
    author_signature: Annotated[str, typer.Option(help="The output of `modelmesh sign` for the file.")] = "",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Register a version; the first one of a name goes live."""
    with ModelMeshClient(url, timeout=600) as client:
        registered = client.register_model(
            name,
            _model_of(source),
            framework,
            read_json(metadata, "metadata") if metadata else None,
            version=version,
            sample=read_json(sample, "sample") if sample else None,
            parent=parent,
            author=author,
            compile=compile,
            cache_ttl_seconds=cache_ttl,
            author_signature=author_signature,
        )
    if as_json:
        print(json_text(registered))
        return
    made = registered.version
    state = "live" if made.live or registered.ready else "registered; deploy it to send requests to it"
    console.print(f"{name} {made.version} is {state} (served as {made.served_as})", highlight=False)
    if registered.warning:
        console.print(registered.warning, style="yellow", markup=False)


def predict(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    inputs: Annotated[str, typer.Argument(help="A row, rows or an object of named features as JSON, or @file.")],
    url: UrlOption = DEFAULT_URL,
) -> None:
    """Predict; print the answer as JSON."""
    with ModelMeshClient(url) as client:
        prediction = client.predict(name, read_json(inputs, "inputs"))
    print(json.dumps({"model": prediction.model, "version": prediction.version, "outputs": prediction.outputs}))


def models(
    framework: Annotated[str | None, typer.Option(help="Only models of this framework.")] = None,
    page: Annotated[int, typer.Option(min=1)] = 1,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """List the models."""
    with ModelMeshClient(url) as client:
        found = client.models(page=page, framework=framework)
    if as_json:
        print(json_text(found))
        return
    table = Table("model", "framework", "live", "versions")
    for model in found:
        table.add_row(model.name, model.framework, model.live_version or "-", ", ".join(model.versions))
    console.print(table)


def versions(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """List a model's versions with their lineage."""
    with ModelMeshClient(url) as client:
        found = client.versions(name)
    if as_json:
        print(json_text(found))
        return
    table = Table("version", "live", "framework", "served as", "parent", "author", "created", "artifact")
    for version in found:
        live = "yes" if version.live else ""
        table.add_row(
            version.version, live, version.framework, version.served_as, version.parent or "-",
            version.author, version["created_at"][:19], version.source_digest[:12],
        )  # fmt: skip
    console.print(table)


def deploy(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    version: Annotated[str, typer.Argument(help="The version that gets all requests.")],
    generation: Annotated[int | None, typer.Option(help="Fail unless the release is at this generation.")] = None,
    reason: Annotated[str, typer.Option(help="The reason, for the history.")] = "",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Send all requests to a version."""
    with ModelMeshClient(url) as client:
        deployed = client.deploy(name, version, generation=generation, reason=reason)
    if as_json:
        print(json_text(deployed))
        return
    console.print(f"{deployed.event.summary} (generation {deployed.event.generation})", highlight=False)


def delete(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Delete a model with its release, versions and files. Its events stay in the history."""
    if not yes:
        question = f"This deletes {name} with its release and all its versions. To confirm, type its name"
        if typer.prompt(question) != name:
            raise InvalidInput("the name does not match: nothing was deleted", field="name")
    with ModelMeshClient(url, timeout=120) as client:
        deleted = client.delete_model(name)
    if as_json:
        print(json_text(deleted))
        return
    console.print(f"{name} is deleted, with {', '.join(deleted.versions) or 'no versions'}", highlight=False)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (register, predict, models, versions, deploy, delete):
        app.command()(command)
