"""Errors of hw/ that a user can cause.

Their message is one line: what was expected, what came, and what to do. The command line treats
them like `edgebert.errors.UserError`, which hw/ may not import.
"""


class HardwareFileError(Exception):
    """A file that hw/ reads or writes is missing, damaged, foreign or can't be written."""


class ParameterError(ValueError):
    """A parameter of a kernel has a value that the hardware can't have.

    The message names the parameter, the value and what is allowed.
    """


class ToolError(Exception):
    """A program that hw/ calls (Verilator, a C++ compiler, Yosys) is missing or failed."""
