"""A stretch of the topic in place of files."""

from __future__ import annotations

import pytest
import typer

from schemas.settings import Settings
from workers.cli.topic_range import from_topic
from workers.data.layout import make_layout


@pytest.mark.parametrize("keys", [{"long": "tag=value"}, {"channel_from": "file"}])
def test_what_files_alone_have_is_an_error_of_usage(keys):
    with pytest.raises(typer.BadParameter, match="these are for files"):
        from_topic(Settings(), make_layout(keys), "2026-01-01T00:00:00Z", None)
