"""How a file is judged: as a live run would, by the same settings and what people said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from detector.scoring import Detector
    from workers.backtest.backtest import Terms

VerdictsOption = Annotated[
    Path | None,
    typer.Option(help="What people said and the stream heeded: vigie verdict deeds > FILE."),
]
RulesOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="Settings file, for its rules and off entries. Default: vigie.toml here, if there "
        "is one.",
    ),
]


def terms_of(
    detector: Detector, *, max_gap_s: float, config: Path | None, verdicts: Path | None
) -> Terms:
    """The terms of a backtest.

    Raises:
        SettingsError, FileFormatError: a file cannot be read, or does not fit the model.
    """
    from schemas.settings import load_settings
    from workers.backtest.backtest import Terms
    from workers.data.forgotten import read_deeds
    from workers.stream.build import policy_of
    from workers.stream.calendars import read_calendars

    settings = load_settings(config, {})
    return Terms(
        max_gap_s=max_gap_s,
        policy=policy_of(settings, detector.channels, read_calendars(settings.off)),
        deeds=() if verdicts is None else read_deeds(verdicts),
    )
