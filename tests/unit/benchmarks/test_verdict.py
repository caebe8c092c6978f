"""From scores to verdicts to tables."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from benchmarks.detection import summary
from benchmarks.detection.detector import NamedDetector, Scored
from benchmarks.detection.picture import draw, telling_channels
from benchmarks.detection.published import beside
from benchmarks.detection.report import markdown, tables, write_csv
from benchmarks.detection.series import LabelledSeries, RootCause
from benchmarks.detection.verdict import Failure, explain, judge, judge_all


def make_series(name="one", *, half="A", events=((60, 70),), causes=()):
    labels = np.zeros(100, dtype=bool)
    for start, end in events:
        labels[start:end] = True
    rows = np.random.default_rng(0).normal(size=(100, 3))
    rows[labels, 1] += 20
    return LabelledSeries(
        name=name,
        set="set",
        half=half,
        rows=rows,
        n_train=20,
        labels=labels,
        judged=np.ones(100, dtype=bool),
        interval_s=1.0,
        budget_rows=40,
        root_causes=causes,
    )


def scores(*spans, n=100):
    made = np.full(n, 0.5)
    for start, end in spans:
        made[start:end] = 2.0
    return made


class Fixed:
    """A detector whose scores are given."""

    def __init__(self, given):
        self.given = given

    def score(self, rows, ts_ns):
        return Scored(score=self.given)


def fixed(name, given):
    return NamedDetector(name=name, about="", train=lambda history: Fixed(given))


def test_ranking_counts_all_judged_rows_and_alarms_those_after_training():
    verdict = judge(make_series(), Scored(score=scores((0, 5), (30, 31), (62, 65))), detector="it")

    assert verdict.average_precision < 1.0  # the rows of training rank too
    assert verdict.points.true_positives == 3
    assert verdict.points.false_positives == 1
    assert verdict.alarms.asked == pytest.approx(70 / 40)
    assert (verdict.alarms.false, verdict.alarms.opened) == (1, 1)
    assert verdict.alarms.delays.tolist() == [2]


def test_flagged_runs_with_short_gaps_are_one_incident():
    verdict = judge(
        make_series(), Scored(score=scores((25, 26), (41, 42), (58, 59))), detector="it"
    )

    assert verdict.alarms.incidents == 2  # 15 rows between the first two, 16 before the third


def test_a_series_without_an_event_has_no_ranking_but_alarms():
    verdict = judge(make_series(events=()), Scored(score=scores((30, 31))), detector="it")

    assert np.isnan([verdict.vus_pr, verdict.average_precision, verdict.best_f1]).all()
    assert verdict.alarms.false == 1


def test_a_score_that_is_read_late_ranks_beside_and_opens_no_alarm():
    verdict = judge(make_series(), Scored(score=scores(), settled=scores((60, 70))), detector="it")

    assert verdict.settled_ap == 1.0 > verdict.average_precision
    assert verdict.alarms.incidents == 0


def test_an_explanation_is_the_mean_over_the_event_s_rows_that_have_one():
    series = make_series(causes=(RootCause(start=60, end=70, channels=(1,)),))
    parts = np.full((100, 3), np.nan)
    parts[65:70] = [0.2, 0.7, 0.1]

    (explained,) = explain(series, parts)

    assert (explained.hit_rate_100, explained.ndcg) == (1.0, 1.0)
    assert explain(series, np.full((100, 3), np.nan)) == ()
    assert explain(series, None) == ()


def test_a_cause_inside_the_training_rows_is_not_judged():
    series = make_series(causes=(RootCause(start=5, end=9, channels=(1,)),))

    assert explain(series, np.ones((100, 3))) == ()


def refuse(history):
    raise ValueError(f"{history.name} is too short")


def test_a_detector_that_fails_is_said_and_stops_nobody():
    broken = NamedDetector(name="broken", about="", train=refuse)
    short, holes = fixed("short", np.zeros(3)), fixed("holes", np.full(100, np.nan))

    scored, results = judge_all(
        make_series(), [broken, short, holes, fixed("good", scores())], seed=0
    )

    assert list(scored) == ["good"]
    assert [one.message for one in results if isinstance(one, Failure)] == [
        "one is too short",
        "short must give one finite score for each row",
        "holes must give one finite score for each row",
    ]


def make_verdicts():
    verdicts = []
    for name, half in (("a", "A"), ("b", "B"), ("c", "A")):
        series = make_series(name, half=half, causes=(RootCause(start=60, end=70, channels=(1,)),))
        good = Scored(score=scores((60, 70)), errors=np.tile([0.0, 1.0, 0.0], (100, 1)))
        verdicts.append(judge(series, good, detector="good"))
        verdicts.append(judge(series, Scored(score=scores((30, 31))), detector="bad"))
    return verdicts


def test_lines_report_half_a_half_b_and_both():
    made = summary.lines(make_verdicts(), summary.ranking)

    assert [(one["detector"], one["half"], one["series"]) for one in made] == [
        ("good", "A", 2),
        ("good", "B", 1),
        ("good", "both", 3),
        ("bad", "A", 2),
        ("bad", "B", 1),
        ("bad", "both", 3),
    ]
    assert made[2]["F1 pooled"] == 1.0
    assert made[5]["F1 pooled"] == 0.0


def test_incidents_are_summed_and_shares_taken_over_series():
    made = summary.lines(make_verdicts(), summary.incidents)
    good, bad = made[2], made[5]

    assert good["asked"] == pytest.approx(3 * 70 / 40)
    assert (good["false"], good["at most 2x"], good["within x2"], good["of"]) == (0, 1.0, 0.0, 3)
    assert (good["found"], good["opened in"], good["delay rows"]) == ("3/3", 3, 0.0)
    assert (bad["false"], bad["within x2"], bad["found"]) == (3, 1.0, "0/3")
    assert bad["alarm time outside %"] == 100.0


def test_condensed_lines_show_the_halves_in_brackets():
    (good, bad) = summary.condensed(summary.lines(make_verdicts(), summary.ranking))

    assert good["F1 pooled"] == "1.000 (1.000 / 1.000)"
    assert bad["F1 pooled"] == "0.000 (0.000 / 0.000)"
    assert "half" not in good


def test_paired_differences_are_taken_series_by_series():
    made = summary.paired(make_verdicts(), "average_precision", against="good", seed=0)

    assert made[0]["mean"] == "1.000 [1.000, 1.000]"
    gap = float(made[1]["good minus it"].split()[0])
    bad = float(made[1]["mean"].split()[0])
    assert gap == pytest.approx(1.0 - bad, abs=2e-3)


def test_root_causes_are_listed_by_what_explains_them():
    (line,) = summary.root_causes(make_verdicts())

    assert (line["detector"], line["by"], line["events"]) == ("good", "errors", "3/3")
    assert line["HitRate@100 %"] == 1.0


def test_tables_become_a_document_and_a_csv(tmp_path):
    verdicts = make_verdicts()

    text = markdown(tables(verdicts, against="good", seed=0))
    write_csv(tmp_path / "all.csv", verdicts)

    assert "| set | detector | series | VUS-PR |" in text
    assert "| 0 |" in text  # a nought is no blank
    with (tmp_path / "all.csv").open(newline="") as lines:
        read = list(csv.DictReader(lines))
    assert len(read) == 6
    assert read[0]["false"] == "0"
    assert {"VUS-PR", "asked", "fit s"} <= read[0].keys()


def test_published_figures_are_quoted_for_the_sets_that_ran():
    assert {one["set"] for one in beside({"SKAB"})} == {"SKAB"}
    assert all({"protocol", "looks ahead", "figure"} <= one.keys() for one in beside({"SKAB"}))


def test_a_picture_shows_the_channel_of_the_event(tmp_path):
    pytest.importorskip("matplotlib", reason="vigie[plot] has it")
    series = make_series()

    path = draw(series, {"good": Scored(score=scores((60, 70)))}, tmp_path)

    assert telling_channels(series)[0] == 1
    assert path.read_bytes().startswith(b"\x89PNG")
