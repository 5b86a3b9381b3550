"""The commands and their options."""

import argparse
import inspect
from importlib import import_module

from edgebert.options import build_parser


def test_every_command_names_a_function_of_its_options() -> None:
    parser = build_parser()
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    assert {"train", "export", "verify", "build", "simulate", "zoo"} <= set(commands.choices)
    for command in commands.choices.values():
        module, name = command.get_default("command").split(":")
        function = getattr(import_module(f"edgebert.{module}"), name)
        assert list(inspect.signature(function).parameters) == ["options"]
