"""The one error that this package raises for what a user or the hardware did."""


class BoardError(Exception):
    """One line: what was expected, what came, and what to do."""
