"""What the README shows is run, in its order, against the mesh of these tests."""

import contextlib
import re
import runpy
import subprocess
import time
from pathlib import Path

import modelmesh.sdk
import pytest
from modelmesh.cli.lazy_commands import COMMANDS, NAMES, commands_of
from modelmesh.schemas.errors import NotFound

README = (Path(__file__).parents[3] / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def addressed(mesh, monkeypatch):
    """The README's addresses are those of a mesh on its usual ports; this one has others."""

    class Client(modelmesh.sdk.ModelMeshClient):
        def __init__(self, url=mesh.url, **options):
            super().__init__(url, **options)

        def watch(self, name):
            """What has happened so far, once the canary is among it, and no waiting for more."""
            give_up = time.monotonic() + 30
            while "canary.started" not in [event["kind"] for event in self.history(name)]:
                assert time.monotonic() < give_up
                time.sleep(0.05)
            return iter(self.history(name))

    monkeypatch.setattr(modelmesh.sdk, "ModelMeshClient", Client)

    def address(text):
        return text.replace("http://127.0.0.1:8000", mesh.url).replace("127.0.0.1:9092", mesh.settings.kafka)

    return address


def test_the_python_blocks_run_one_after_the_other(addressed, capsys):
    names: dict[str, object] = {}
    blocks = [text for kind, text in BLOCKS if kind == "python"]
    assert len(blocks) == 3
    for text in blocks:
        exec(compile(addressed(text), "README.md", "exec"), names)
    said = capsys.readouterr().out
    assert re.search(r"^[01]$", said, re.MULTILINE), "a label was printed"
    assert "canary" in said
    with modelmesh.sdk.ModelMeshClient() as client:
        client.rollback_canary("tumours")


async def test_the_line_without_python_runs(addressed, sdk, payments):
    table, model = payments
    await sdk.register_model("payments", model, sample=table[:20])
    (line,) = [text for _, text in BLOCKS if text.startswith("curl")]
    done = subprocess.run(["bash", "-c", addressed(line)], capture_output=True, text=True, check=True)  # noqa: ASYNC221
    assert '"label"' in done.stdout


def test_every_command_in_the_table_is_there_and_has_help():
    rows = [row.split("|")[1] for row in README.splitlines() if row.startswith("| `modelmesh ")]
    named = {word for row in rows for word in re.findall(r"`(?:modelmesh )?([a-z-]+)`", row)}
    assert named == set(NAMES) - {"demo"}, "the table and the program differ"
    assert all(command.help for module in COMMANDS for command in commands_of(module).values())


def test_the_make_targets_that_it_names_are_there():
    makefile = (Path(__file__).parents[3] / "Makefile").read_text()
    for target in set(re.findall(r"make ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.timeout(600)
def test_the_examples_run_in_their_order(mesh, monkeypatch, capsys):
    class Client(modelmesh.sdk.ModelMeshClient):
        def __init__(self, url=mesh.url, **options):
            super().__init__(url, **options)

        def shadow(self, name):
            return self._known(super().shadow, name, lambda found: found["paired"])

        def drift(self, name):
            return self._known(
                super().drift, name, lambda found: any(v["features"] for v in found["versions"].values())
            )

        def _known(self, ask, name, enough):
            """What the judge knows once it is enough: a busy machine takes longer than an example waits."""
            give_up = time.monotonic() + 120
            while time.monotonic() < give_up:
                with contextlib.suppress(NotFound):
                    if enough(found := ask(name)):
                        return found
                time.sleep(0.2)
            raise AssertionError(f"nothing is known of {name}")

    monkeypatch.setattr(modelmesh.sdk, "ModelMeshClient", Client)
    said = {}
    for name in ("first_model", "canary", "shadow", "experiment", "drift"):
        path = Path(__file__).parents[3] / "examples" / f"{name}.py"
        runpy.run_path(str(path), run_name="__main__")
        said[name] = capsys.readouterr().out
    assert re.search(r"tumours \d+\.0\.0 is served as onnx", said["first_model"])
    assert "canary" in said["canary"]
    assert re.search(r"\d+ pairs agree on \d+\.\d%", said["shadow"])
    assert "control" in said["experiment"]
    assert re.search(r"^1\.0\.0 (drifts|does not drift)\n  .*: PSI", said["drift"])
