"""Import a command's module only when it is called, so that roles and commands start fast."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from ..schemas.errors import SetupError
from ..schemas.extras import not_installed

# In the order of the help.
COMMANDS = {
    "local.commands": ("up", "status", "settings"),
    "commands.models": ("register", "predict", "models", "versions", "deploy", "delete"),
    "commands.releases": ("canary", "shadow", "experiment"),
    "commands.monitoring": ("drift", "latency", "errors", "accuracy", "label", "watch"),
    "commands.load": ("load",),
    "demo.command": ("demo",),
    "commands.doctor": ("doctor",),
    "commands.model_files": ("import", "sign"),
    "commands.dead_letters": ("dead-letters",),
    "commands.database": ("db",),
    "commands.keys": ("keys",),
    "commands.acls": ("acls",),
    "commands.replay": ("replay",),
    "commands.counterfactual": ("counterfactual",),
    "commands.top": ("top",),
    "commands.chaos": ("chaos",),
    "commands.roles": ("gateway", "router", "worker", "control", "recorder", "broker"),
}
# Modules whose commands start or inspect a local mesh.
_LOCAL = ("local.commands", "demo.command")
NAMES = tuple(name for names in COMMANDS.values() for name in names)
_MODULES = {name: module for module, names in COMMANDS.items() for name in names}


class LazyCommands(TyperGroup):
    """The commands; each is imported from its module on first use."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands."""
        return list(NAMES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, or None if there is none of this name."""
        module = _MODULES.get(cmd_name)
        if module is None:
            return None
        try:
            return commands_of(module)[cmd_name]
        except ModuleNotFoundError as error:
            missing = not_installed(error, f"modelmesh {cmd_name}", "local" if module in _LOCAL else None)
            if missing is None:
                raise
            return _not_installed_command(cmd_name, missing)


def _not_installed_command(name: str, missing: SetupError) -> TyperCommand:
    """Return a command that only says which extra to install, whatever options it is given."""

    def refuse() -> None:
        raise missing

    return TyperCommand(
        name,
        callback=refuse,
        help=missing.detail,
        short_help=f"Not installed: {missing.detail.rpartition(': ')[2]}",
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        rich_markup_mode=None,
    )


def commands_of(module: str) -> dict[str, Any]:
    """Return the commands that a module registers, by name."""
    app = typer.Typer()
    import_module(f".{module}", __package__).add_to(app)
    return dict(typer.main.get_group(app).commands)
