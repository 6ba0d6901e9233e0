"""Errors that are the user's to mend: shown as one line, without a traceback."""


class UserError(Exception):
    """Something outside the program is wrong. The text names it, what was expected and what to do."""


class DataNotFoundError(UserError):
    """A data set could be neither found nor downloaded."""
