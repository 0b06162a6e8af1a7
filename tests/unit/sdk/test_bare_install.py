"""The bare install is the client: it imports nothing from an extra, and errors about missing packages name the extra."""

import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from modelmesh.schemas.extras import EXTRAS
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]

# Finds only the modules named in argv[1], the standard library's, and modelmesh; then runs the code of argv[2].
ALONE = """
import sys
allowed, code = set(sys.argv[1].split(",")), sys.argv[2]
class Bare:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in allowed | sys.stdlib_module_names | {"modelmesh"} and not top.startswith("_"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Bare())
sys.argv[1:] = sys.argv[3:]
exec(code)
"""


@cache
def distributions():
    """Return the modules at the top of each distribution that is installed here."""
    found = {}
    for module, names in packages_distributions().items():
        for name in names:
            found.setdefault(canonicalize_name(name), set()).add(module)
    return found


@cache
def bare_modules():
    """Return the modules of what the bare install brings, and of what that needs in turn."""
    waiting, seen = [Requirement(text) for text in PROJECT["dependencies"]], set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        try:
            waiting += [Requirement(text) for text in requires(name) or ()]
        except PackageNotFoundError:
            continue
    return ",".join(sorted({module for name in seen for module in distributions().get(name, ())}))


def run_bare(code, *arguments):
    """Run code where only the bare install can be imported; return exit code, standard output and error."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE, bare_modules(), code, *arguments], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def command(*words):
    return run_bare("from modelmesh.cli.main import main; main()", *words)


def test_the_client_needs_nothing_else():
    assert run_bare("import modelmesh.sdk, modelmesh.producers.client") == (0, "", "")


@pytest.mark.parametrize(
    ("words", "extra"), [(("up", "--port", "1"), "local"), (("demo",), "local"), (("worker",), "server")]
)
def test_a_command_that_needs_more_names_the_extra_in_one_line(words, extra):
    code, _, said = command(*words)
    assert code == 1
    assert said.count("\n") == 1
    assert said.endswith(f"pip install 'modelmesh[{extra}]'\n")


def test_the_help_lists_every_command_and_says_which_are_missing():
    code, said, _ = command("--help")
    assert code == 0
    assert "Register a version" in said
    assert "Not installed: pip install 'modelmesh[local]'" in " ".join(said.split())


def test_a_model_object_without_its_libraries_names_the_extra():
    code = "from modelmesh.models.adapters.registry import framework_of; framework_of(object())"
    assert "SetupError" in run_bare(code)[2]
    assert "pip install 'modelmesh[server]'" in run_bare(code)[2]


@pytest.mark.parametrize("extra", ["server", "local", "torch", "grpc", "parquet"])
def test_each_module_of_an_extra_is_known_by_it(extra):
    for text in PROJECT["optional-dependencies"][extra]:
        modules = distributions().get(canonicalize_name(Requirement(text).name), set())
        if modules and not text.startswith("modelmesh["):
            assert extra in {EXTRAS.get(module) for module in modules}, text
