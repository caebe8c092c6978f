"""Loops that numpy cannot run: compiled at their first call, and kept for the next process."""

import inspect
from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Any:
    """The function, compiled with IEEE arithmetic in the order written.

    The machine code is kept beside the source or in the user's cache, see numba's
    `NUMBA_CACHE_DIR`. Where neither can be written (a container with a read-only file system),
    each process compiles for itself, in about three seconds.
    """
    function = inspect.unwrap(function)  # what checks shapes in tests cannot be compiled
    try:
        return numba.njit(cache=True, error_model="numpy")(function)
    except RuntimeError:
        return numba.njit(error_model="numpy")(function)
