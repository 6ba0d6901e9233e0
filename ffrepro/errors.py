"""Errors that are the user's to mend: shown as one line, without a traceback."""


class UserError(Exception):
    """Something outside the program is wrong. The text names it, what was expected and what to do."""


def is_want_of_memory(error: BaseException) -> bool:
    """Whether there was no memory left: a GPU's error has a class of its own in torch, a CPU's says so in its text."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    # The last is what cuBLAS and cuDNN say.
    said = ("out of memory", "can't allocate memory", "_STATUS_ALLOC_FAILED")
    return named or any(words in str(error) for words in said)


class DataNotFoundError(UserError):
    """A data set could be neither found nor downloaded."""
