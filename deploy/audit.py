"""Are there known vulnerabilities in what is pinned? Asks OSV, package by package.

`make audit` calls it. Ends with 0 where none is known, with 1 where one is. Where the service
cannot be reached nothing was audited: that is said, and is an error only with `--required`, as CI
has it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
_PINS: Final = [ROOT / "requirements" / f"{name}.txt" for name in ("dev", "build")]
"""All that is pinned anywhere: what the wheel and the image need is part of the first."""


def found_in(report: Mapping[str, Any]) -> Iterator[str]:
    """Each known vulnerability of a report of pip-audit, in a line."""
    for package in report["dependencies"]:
        for one in package.get("vulns", ()):
            fixed = ", ".join(one["fix_versions"]) or "no version yet"
            yield f"{package['name']} {package['version']}: {one['id']}, fixed in {fixed}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Audit, and say what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--required", action="store_true", help="no answer is an error")
    parser.add_argument("--pins", type=Path, action="append", help="requirement file to audit")
    parser.add_argument("--osv-url", default="https://api.osv.dev/v1/query")
    told = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="vigie-audit-") as folder:
        report = Path(folder, "report.json")
        command = [str(Path(sys.executable).with_name("pip-audit")), "--disable-pip", "--format"]
        command += ["json", "--output", str(report), "--progress-spinner", "off"]
        command += ["--vulnerability-service", "osv", "--osv-url", told.osv_url]
        for pins in told.pins or _PINS:
            command += ["--requirement", str(pins)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        answered = report.exists()
        found = [*found_in(json.loads(report.read_text(encoding="utf-8")))] if answered else []
    if found:
        sys.stderr.write("".join(f"{line}\n" for line in found))
        return 1
    if answered:
        sys.stdout.write("No known vulnerability.\n")
        return done.returncode
    why = (done.stderr.strip().splitlines() or ["no reason was given"])[-1]
    if "ConnectionError" not in why and "onnect" not in why:
        sys.stderr.write(f"pip-audit failed: {why}\n")
        return 1
    sys.stderr.write(f"NOTHING WAS AUDITED: {told.osv_url} cannot be reached ({why[:200]})\n")
    return 1 if told.required else 0


if __name__ == "__main__":
    sys.exit(main())
