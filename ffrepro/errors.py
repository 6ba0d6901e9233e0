"""Errors that users can fix: shown as one line, without a traceback."""


class UserError(Exception):
    """Something outside the program is wrong. The text names it, the expected state, and the remedy."""


class DataNotFoundError(UserError):
    """A data set was neither found nor downloaded."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether no memory was left. For a GPU, torch has a class of error; for a CPU, only the text tells."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    # The last is from cuBLAS and cuDNN.
    return any(text in str(error) for text in ("out of memory", "can't allocate memory", "_STATUS_ALLOC_FAILED"))
