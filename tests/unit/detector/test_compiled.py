import functools
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from detector.compiled import compiled

PROGRAM = """
import numba
from detector.compiled import compiled

names = {}
exec(compile("def half(x): return 0.5 * x", "/proc/nowhere/half.py", "exec"), names)
made = compiled(names["half"])
assert made(3.0) == 1.5
print(type(made._cache).__name__)
"""


def test_without_a_place_for_a_cache_a_function_is_compiled_all_the_same():
    """A read-only installation, and no home to write to."""
    root = Path(__file__).parents[3]
    nowhere = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "IPYTHONDIR"), "/proc/nowhere")
    environment = {**os.environ, **nowhere, "PYTHONPATH": str(root)}
    environment.pop("NUMBA_CACHE_DIR", None)

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "NullCache"


def test_what_wraps_a_function_in_tests_does_not_hinder_it():
    """Shapes are checked by wrappers, which no compiler reads."""

    def total(values):
        found = 0.0
        for one in values:
            found += one
        return found

    @functools.wraps(total)
    def checked(*args):
        assert stat  # a global that only Python knows what to do with
        return total(*args)

    assert compiled(checked)(np.array([1.0, 2.0])) == 3.0


def test_the_compiler_may_not_reorder_additions():
    """Bits would hang on the processor. What it does with leave depends on the loop, so ask it."""

    def half(value):
        return 0.5 * value

    made: Any = compiled(half)
    assert not made.targetoptions.get("fastmath", False)


def test_a_division_by_nothing_is_an_infinity_as_in_numpy():
    def inverse(value):
        return 1.0 / value

    assert compiled(inverse)(0.0) == np.inf
