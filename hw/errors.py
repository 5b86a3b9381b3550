"""Errors of hw/ that a user can cause."""


class HardwareFileError(Exception):
    """A file that hw/ reads or writes is missing, damaged, foreign or can't be written.

    The message is one line: the file, what was expected, what came, and what to do.
    The command line treats it like `edgebert.errors.UserError`, which hw/ may not import.
    """
