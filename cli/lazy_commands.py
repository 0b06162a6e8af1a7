"""Import a command's module when somebody calls it: a role must be up again in no time, and a command answer at once."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

# In the order in which the help shows them.
COMMANDS = {
    "local.commands": ("up", "status", "settings"),
    "commands.models": ("register", "predict", "models", "versions", "deploy", "delete"),
    "commands.releases": ("canary", "shadow", "experiment"),
    "commands.monitoring": ("drift", "latency", "errors", "accuracy", "label", "watch"),
    "commands.load": ("load",),
    "demo.command": ("demo",),
    "commands.doctor": ("doctor",),
    "commands.import_model": ("import",),
    "commands.sign": ("sign",),
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
NAMES = tuple(name for names in COMMANDS.values() for name in names)
_MODULES = {name: module for module, names in COMMANDS.items() for name in names}


class LazyCommands(TyperGroup):
    """The commands, each imported from its module when it is looked up."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return their names."""
        return list(NAMES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return one, or None if there is none of the name."""
        module = _MODULES.get(cmd_name)
        return commands_of(module)[cmd_name] if module is not None else None


def commands_of(module: str) -> dict[str, Any]:
    """Return the commands that a module registers, by name."""
    app = typer.Typer()
    import_module(f".{module}", __package__).add_to(app)
    return dict(typer.main.get_group(app).commands)
