"""All detectors by name, Vigie's first; another one is one more entry."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from benchmarks.detection.baselines import BASELINES
from benchmarks.detection.detector import NamedDetector
from benchmarks.detection.vigie import VIGIE

DETECTORS: dict[str, NamedDetector] = {one.name: one for one in (*VIGIE, *BASELINES)}
HOW_TO_GET = "pip install scikit-learn river (the dependency group `bench` of pyproject.toml)"


def choose(names: Sequence[str], *, known: dict[str, NamedDetector]) -> list[NamedDetector]:
    """The named detectors, all of them if none is named; those that lack a module are left out.

    A detector that is left out is said, with the way to get it.

    Raises:
        SystemExit: a name that nobody has, or nothing is left.
    """
    if wrong := [name for name in names if name not in known]:
        raise SystemExit(f"no detector {wrong[0]!r}; there are: {', '.join(known)}")
    chosen = []
    for name in names or known:
        one = known[name]
        if one.needs and find_spec(one.needs) is None:
            print(f"SKIPPED {one.name}: no module {one.needs!r}; {HOW_TO_GET}")
        else:
            chosen.append(one)
    if not chosen:
        raise SystemExit("no detector is left to run")
    return chosen
