"""What `vigie repartition` rejects before it asks the broker."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.settings import Settings
from workers.errors import SettingsError
from workers.supervision.repartition import _check_sensor, run_repartition


@pytest.mark.parametrize(
    "layout",
    [
        {"sensor": "record:key", "sensor_pattern": "plant/(.*)"},
        {"sensor": ["record:key", "tags.host"]},
        {"sensor": ["header:site", "record:key"]},
    ],
)
def test_an_id_of_which_the_key_is_a_part_is_rejected(layout: dict[str, Any]) -> None:
    """The key behind `vigie repartition` is the id itself: joined again, it would be another."""
    settings = Settings.model_validate({"input": layout})

    with pytest.raises(SettingsError, match="record:key"):
        run_repartition(settings, should_stop=lambda: False)


@pytest.mark.parametrize(
    "layout",
    [{}, {"sensor": "record:key"}, {"sensor": ["tags.host", "name"], "sensor_pattern": "(.*)"}],
)
def test_an_id_that_is_the_same_behind_is_not(layout: dict[str, Any]) -> None:
    _check_sensor(Settings.model_validate({"input": layout}).input)
