"""The commands and their options."""

import argparse
import inspect

from edgebert.options import build_parser, function_of


def test_every_command_names_a_function_of_its_options() -> None:
    parser = build_parser()
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    assert {"train", "export", "verify", "build", "simulate", "zoo"} <= set(commands.choices)
    for command in commands.choices.values():
        function = function_of(argparse.Namespace(command=command.get_default("command")))
        assert list(inspect.signature(function).parameters) == ["options"]
