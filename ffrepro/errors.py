"""Errors that are the user's to mend: shown as one line, without a traceback."""


class UserError(Exception):
    """Something outside the program is wrong. The text names it, what was expected and what to do."""


def is_want_of_memory(error: BaseException) -> bool:
    """Whether there was no memory left: of torch's errors their texts say so, of a GPU and of a CPU."""
    said = str(error)
    return isinstance(error, MemoryError) or "out of memory" in said or "can't allocate memory" in said


class DataNotFoundError(UserError):
    """A data set could be neither found nor downloaded."""
