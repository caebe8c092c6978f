"""Loops that numpy cannot say, compiled by numba when they are first called."""

import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

P = ParamSpec("P")
T = TypeVar("T")


def compiled(function: Callable[P, T]) -> Callable[P, T]:
    """Compile a function of arrays and numbers; kept on disk, where there is a place to keep it.

    Strict: no reordering of additions, so that the same numbers give the same bits.
    """
    function = inspect.unwrap(function)  # what checks shapes in tests cannot be compiled
    try:
        made: Callable[P, T] = numba.njit(cache=True, fastmath=False, error_model="numpy")(function)
    except RuntimeError:  # a read-only installation, and no home: compiled anew by each process
        made = numba.njit(fastmath=False, error_model="numpy")(function)
    return made
