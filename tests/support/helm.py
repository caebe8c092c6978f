"""Helm, and what the chart becomes with it: manifests as plain values, or why values are refused.

Helm is a Go program: `HELM`, on the PATH, or where `requirements/helm.sh` has Go put it. Without it
a test is skipped, and says so; with ``VIGIE_REQUIRE_PEERS`` set that is a failure.
"""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
CHART: Final = ROOT / "deploy" / "helm" / "vigie"
KUBERNETES: Final = "1.34.0"
MISSING: Final = "Helm is missing: requirements/helm.sh makes it where Go is, or set HELM"
_GO_PROGRAMS: Final = Path.home() / "go" / "bin"


class ValuesRefusedError(Exception):
    """Helm's own words."""


@cache
def helm() -> str:
    """Path of Helm; skips the test, loudly, where there is none."""
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), str(_GO_PROGRAMS)])
    found = os.environ.get("HELM") or shutil.which("helm", path=places)
    if found:
        return found
    if os.environ.get("VIGIE_REQUIRE_PEERS"):
        pytest.fail(MISSING)
    pytest.skip(MISSING)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Helm with these arguments; its notes about symbolic links are left out."""
    done = subprocess.run([helm(), *arguments], capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if "found symbolic link" not in line]
    done.stderr = "\n".join(lines)
    return done


@cache
def rendered_text(*values: str) -> str:
    """What `helm template` prints: of the chart with value files, then with ``key=value`` pairs.

    Raises:
        ValuesRefusedError: with Helm's reason.
    """
    arguments: list[str] = []
    for value in values:
        if "=" in value:
            arguments += ["--set-json", value]
        else:
            arguments += ["--values", str(CHART / value)]
    done = run("template", "vigie", CHART, "-n", "plant", "--kube-version", KUBERNETES, *arguments)
    if done.returncode:
        raise ValuesRefusedError(done.stderr)
    return done.stdout


def rendered(*values: str) -> list[dict[str, Any]]:
    """The manifests of `rendered_text`, anew for each caller, who may change them."""
    return copy.deepcopy(_parsed(rendered_text(*values)))


@cache
def _parsed(text: str) -> list[dict[str, Any]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # many times as fast, where it is
    return [manifest for manifest in yaml.load_all(text, loader) if manifest]


def refused(*values: str) -> str:
    """Why Helm refuses these values.

    Raises:
        AssertionError: it does not.
    """
    try:
        rendered_text(*values)
    except ValuesRefusedError as error:
        return str(error)
    raise AssertionError(f"Helm took {values}")
