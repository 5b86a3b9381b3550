"""The one class of errors that a user can cause."""


class UserError(Exception):
    """A mistake in what the user gave: options, data, files.

    The message is one line: what was expected, what came, and what to do. The
    command line prints it without a traceback and exits with status 2; every
    other exception is a defect of edgebert and keeps its traceback.
    """
