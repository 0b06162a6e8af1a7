import json
import subprocess
import sys

import pytest
from modelmesh.cli.commands.models import read_json
from modelmesh.cli.lazy_commands import COMMANDS, commands_of
from modelmesh.cli.main import main
from modelmesh.schemas.errors import InvalidInput

from ...shell import run


def test_settings_lists_every_variable_with_its_value_and_meaning(monkeypatch):
    monkeypatch.setenv("MODELMESH_PORT", "8123")
    listed = json.loads(run("settings", "--json").stdout)
    assert listed["MODELMESH_PORT"]["value"] == "8123"
    assert all(entry["meaning"] for entry in listed.values())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["predict", "m", "[1]", "--url", "http://127.0.0.1:1"], "modelmesh up"),
        (["predict", "m", "[1"], "inputs is not valid JSON"),
        (["predict", "m", "@missing.json"], "there is no file missing.json"),
        (["register", "m", "missing.joblib"], "there is no file missing.joblib"),
        (["register", "m", "nosuchmodule:thing"], "No module named 'nosuchmodule'"),
        (["status", "--data", "/nonexistent"], "no mesh runs on /nonexistent"),
        (["load", "m", "--inputs", "{}"], "inputs must be a list of rows"),
        (["canary", "start", "m", "2.0.0", "--steps", "5,many"], "not a list of numbers such as 5,25,50,100"),
        (["experiment", "start", "m", "new=2.0.0"], "write NAME=VERSION:WEIGHT"),
        (["delete", "m", "--yes", "--url", "http://127.0.0.1:1"], "cannot be reached"),
        (["watch", "--url", "http://127.0.0.1:1"], "cannot be reached"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(arguments, says, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["modelmesh", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    errors = capsys.readouterr().err.replace("\n", " ")
    assert ended.value.code == 1
    assert says in errors
    assert "Traceback" not in errors


def test_a_setting_that_cannot_be_read_is_one_line(monkeypatch, capsys):
    monkeypatch.setenv("MODELMESH_PORT", "eight")
    monkeypatch.setattr("sys.argv", ["modelmesh", "settings"])
    with pytest.raises(SystemExit) as ended:
        main()
    errors = capsys.readouterr().err.replace("\n", " ")
    assert ended.value.code == 1
    assert "MODELMESH_PORT" in errors
    assert "Traceback" not in errors


def test_json_comes_from_the_argument_or_a_file(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text("[[1, 2]]")
    assert read_json("[[1, 2]]", "inputs") == read_json(f"@{path}", "inputs") == [[1, 2]]
    with pytest.raises(InvalidInput):
        read_json("{", "inputs")


def test_an_unexpected_error_is_one_line_and_not_a_traceback(monkeypatch, capsys):
    def fail():
        raise RuntimeError("out of luck")

    monkeypatch.setattr("modelmesh.cli.main.app", fail)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    errors = capsys.readouterr().err
    assert "RuntimeError: out of luck" in errors
    assert "Traceback" not in errors
    monkeypatch.setenv("MODELMESH_LOG_LEVEL", "debug")
    with pytest.raises(RuntimeError):
        main()


@pytest.mark.parametrize("module", COMMANDS)
def test_every_command_is_found_under_its_name(module):
    assert tuple(commands_of(module)) == COMMANDS[module]
    for name in COMMANDS[module]:
        assert name in run("--help").output
        assert run(name, "--help").exit_code == 0


def test_a_role_imports_nothing_of_the_other_commands():
    code = "import sys; from modelmesh.cli.lazy_commands import commands_of; commands_of('commands.roles'); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "modelmesh.cli.commands.roles" in loaded
    assert not {"alembic", "scipy", "sklearn", "modelmesh.sdk"} & set(loaded)


def leaves(commands, path=()):
    for name, command in commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command.commands, (*path, name))
        else:
            yield " ".join((*path, name)), command


def test_every_command_speaks_json():
    silent = {
        name
        for module in COMMANDS
        for name, command in leaves(commands_of(module))
        if not any("--json" in option.opts for option in command.params)
    }
    # A prediction is always JSON, the demo is for people, and a role's log is JSON.
    assert silent == {"predict", "demo", "gateway", "router", "worker", "control", "recorder", "broker"}


def test_a_model_is_deleted_by_whoever_repeats_its_name(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["modelmesh", "delete", "fraud", "--url", "http://127.0.0.1:1"])
    for typed, says in (("fruad", "the name does not match: nothing was deleted"), ("fraud", "cannot be reached")):
        monkeypatch.setattr("typer.prompt", lambda *_, typed=typed: typed)
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 1
        assert says in capsys.readouterr().err.replace("\n", " ")
