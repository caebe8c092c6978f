"""The answer of `vigie size`: its settings are the program's, its sentences say what matters."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest
from hypothesis import example, given, reject
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from schemas.settings import Guarantee, Settings
from tests.support.sizing import round_figures
from workers.cli.views.sizing import settings_text
from workers.sizing.answer import settings_of, size
from workers.sizing.fleet import Fleet
from workers.sizing.measured import DetectorKind, Encoding
from workers.sizing.model import Observed, TooMuchError

FIGURES = round_figures()
SEEN = Observed(
    us_per_reading=200.0,
    busy=0.7,
    readings_per_s=5_000.0,
    worker_mb=900.0,
    sensors_per_worker=100,
    scorers=0,
)
FLEETS = {
    "small": Fleet(sensors=10),
    "large": Fleet(sensors=5_000_000, every_s=10.0),
    "seldom": Fleet(sensors=1_000, every_s=86_400.0),
    "frames": Fleet(sensors=200_000, encoding=Encoding.FRAME, guarantee=Guarantee.AT_LEAST_ONCE),
    "gpu": Fleet(sensors=100_000, gpu=True),
}


@pytest.mark.parametrize("fleet", FLEETS.values(), ids=FLEETS)
def test_the_settings_of_an_answer_are_accepted_and_carry_it(fleet):
    answer = size(fleet, FIGURES)

    settings = Settings.model_validate(settings_of(answer))

    assert settings.topics.partitions == answer.partitions
    assert settings.topics.replication_factor == fleet.replication
    assert settings.processing.guarantee is fleet.guarantee
    assert settings.workers.ingest == "auto"
    assert settings.workers.min_ingest * answer.runs >= answer.workers.needed
    assert settings.stream.max_restore_records >= min(answer.restore_records, 1_000_000_000)
    assert settings.stream.max_restore_age_s >= answer.restore_age_s
    assert (settings.workers.placement == "actors") == fleet.gpu


@hypothesis_settings(max_examples=30)
@given(
    fleet=st.builds(
        Fleet,
        sensors=st.integers(1, 20_000_000),
        every_s=st.floats(0.01, 600_000.0),
        encoding=st.sampled_from(Encoding),
        frame_readings=st.integers(1, 10_000),
        detector=st.sampled_from(DetectorKind),
        gpu=st.booleans(),
        recover_s=st.floats(60.0, 80_000.0),
        growth=st.floats(1.0, 100.0),
    ),
    observed=st.none()
    | st.builds(
        replace,
        st.just(SEEN),
        us_per_reading=st.floats(0.1, 300.0),
        scorers=st.integers(0, 3_000),
    ),
)
@example(
    fleet=Fleet(sensors=10_000_000, every_s=0.1, encoding=Encoding.FRAME, growth=1.0),
    observed=None,
)
@example(
    fleet=Fleet(sensors=10_000_000, recover_s=3600.0),
    observed=replace(SEEN, us_per_reading=10.0, scorers=2),
)
@example(
    fleet=Fleet(sensors=10, every_s=600_000.0, encoding=Encoding.FRAME, frame_readings=10_000),
    observed=None,
)
def test_whatever_the_answer_prints_vigie_accepts(fleet, observed):
    try:
        answer = size(fleet, FIGURES, observed)
    except TooMuchError:
        reject()

    workers = Settings.model_validate(tomllib.loads(settings_text(answer))).workers

    assert workers.min_ingest * answer.runs >= answer.workers.needed
    if answer.scorers:
        assert workers.min_scorers * answer.runs >= answer.scorers.scorers


def test_scorers_of_a_running_pipeline_are_counted_without_gpus_too():
    seen = replace(SEEN, scorers=2)

    answer = size(Fleet(sensors=60_000), FIGURES, seen)

    # Two scorers took 5,000 readings a second.
    assert answer.scorers.scorers == 24
    assert answer.scorers.gpus == 0
    assert answer.cores == answer.workers.needed + 24 + 1
    assert settings_of(answer)["workers"]["placement"] == "actors"
    assert "model" not in settings_of(answer)


def test_what_is_default_is_not_set():
    assert "stream" not in settings_of(size(FLEETS["small"], FIGURES))
    assert "stream" in settings_of(size(FLEETS["seldom"], FIGURES))


def test_a_window_longer_than_the_retention_is_a_warning():
    seldom = FLEETS["seldom"]

    (warning,) = size(seldom, FIGURES).warnings

    assert "keep the readings for" in warning
    assert size(replace(seldom, retention_s=800 * 86_400.0), FIGURES).warnings == ()


def test_more_than_a_thousand_workers_are_several_runs():
    answer = size(Fleet(sensors=12_000_000), round_figures(publish_sensor=0))

    assert answer.workers.needed > 1_000
    assert answer.runs == -(-answer.workers.needed // 1_000)


def test_a_running_pipeline_s_cost_takes_the_place_of_the_measured_one():
    fleet = Fleet(sensors=60_000, detector=DetectorKind.PLAIN)

    ours, theirs = size(fleet, FIGURES), size(fleet, FIGURES, SEEN)

    assert theirs.us_per_reading == 200.0
    assert theirs.workers.by_processor > ours.workers.by_processor
    assert theirs.cost is None
    assert "70 % busy" in theirs.assumptions[0]


def test_an_idle_pipeline_s_cost_is_called_too_high():
    (warning,) = size(Fleet(sensors=10), FIGURES, replace(SEEN, busy=0.1)).warnings

    assert "10 % busy" in warning
    assert size(Fleet(sensors=10), FIGURES, SEEN).warnings == ()


def test_gpus_take_the_scoring_off_the_ingest_workers_and_are_called_extrapolated():
    fleet = Fleet(sensors=100_000, detector=DetectorKind.PLAIN)

    without, with_gpus = size(fleet, FIGURES), size(replace(fleet, gpu=True), FIGURES)

    assert with_gpus.us_per_reading == without.us_per_reading - 20 + 5
    # A score of 20 us less the network's 10, and 5 to receive it: 1.5 cores, 60 % busy.
    assert with_gpus.scorers.scorers == 3
    assert with_gpus.scorers.gpus == 1
    assert any("extrapolated" in sentence for sentence in with_gpus.assumptions)


def test_one_worker_is_limited_by_nothing():
    assert size(Fleet(sensors=10), FIGURES).limited_by == "nothing: one worker is enough"


def test_the_limit_is_named_with_what_the_other_one_would_need():
    by_windows = size(Fleet(sensors=100_000, every_s=1000.0, recover_s=100.0), FIGURES)
    by_load = size(Fleet(sensors=1_000, every_s=0.01, recover_s=3600.0), FIGURES)

    assert by_windows.limited_by.startswith("recovery: the load needs 1 workers")
    assert by_load.limited_by.startswith("processor time: ")
