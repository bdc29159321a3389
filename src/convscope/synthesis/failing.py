"""Why a step could not be taken."""

import torch


def out_of_memory(error: RuntimeError | MemoryError) -> str | None:
    """What an error says of memory that ran out; None for an error of another kind.

    >>> out_of_memory(MemoryError())
    'out of memory'
    >>> out_of_memory(RuntimeError("can't allocate memory: you tried to allocate 8 bytes"))
    "can't allocate memory: you tried to allocate 8 bytes"
    >>> print(out_of_memory(RuntimeError("shapes differ")))
    None
    """
    if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "memory" not in str(error):
        return None
    return str(error).strip().splitlines()[0] if str(error).strip() else "out of memory"
