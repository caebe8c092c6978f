"""Artifacts with a pyramid: every array is needed, of its shape, and finite."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import torch as safetensors

from detector.artifact import DESCRIPTION, MANIFEST, WEIGHTS, ArtifactError, load, save
from detector.calibration.fusion import Fusion
from detector.training.train import train
from detector.views.pyramid import PyramidView
from tests.support.fleets import make_config, make_fleet
from tests.support.pyramids import pyramid_detector, pyramid_of, score, small_fleet

DATA = Path(__file__).parent / "data"
SCORES = ("score", "raw", "p_value", "expected", "denoised", "flagged", "contribution")
ALL = (*SCORES, "levels", "partial")


def recorded_of(scores, name):
    """As old programs gave it: shares of the flagged samples alone."""
    found = getattr(scores, name)
    return found[scores.flagged] if name == "contribution" else found


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save(pyramid_detector("signal"), tmp_path_factory.mktemp("artifact") / "model")


@pytest.fixture
def folder(saved, tmp_path):
    for name in (WEIGHTS, DESCRIPTION, MANIFEST):
        (tmp_path / name).write_bytes((saved / name).read_bytes())
    return tmp_path


def sign(folder):
    lines = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in (WEIGHTS, DESCRIPTION)
    ]
    (folder / MANIFEST).write_text("".join(lines))


def edit_tensors(folder, change):
    tensors = safetensors.load((folder / WEIGHTS).read_bytes())
    change(tensors)
    (folder / WEIGHTS).write_bytes(safetensors.save(tensors))
    sign(folder)


@pytest.mark.parametrize("kind", ["fleet", "signal", "channel", "commands"])
def test_a_loaded_detector_scores_bit_for_bit_like_the_saved_one(kind, tmp_path):
    detector = pyramid_detector(kind)
    twin = load(save(detector, tmp_path / "model"), "cpu")
    channels = len(detector.channels)
    rows = np.resize(small_fleet().noisy[0], (400, channels)).copy()
    rows[300:310, 0] += 100 * rows.std()
    ends = np.arange(detector.warm_up - 1, 400)
    lengths = np.minimum(ends + 1, 256)

    one, two = (score(which, rows, ends, lengths=lengths) for which in (detector, twin))

    for name in ALL:
        assert np.array_equal(getattr(one, name), getattr(two, name), equal_nan=True), name
    assert len(one.flagged)
    assert (twin.warm_up, twin.receptive_field) == (detector.warm_up, detector.receptive_field)
    assert pyramid_of(twin).config() == pyramid_of(detector).config()


def test_saving_what_was_loaded_writes_the_same_bytes(saved, tmp_path):
    again = save(load(saved, "cpu"), tmp_path / "again")

    for name in (WEIGHTS, DESCRIPTION, MANIFEST):
        assert (again / name).read_bytes() == (saved / name).read_bytes()


def arrays_of(saved):
    return safetensors.load((saved / WEIGHTS).read_bytes())


def test_every_array_is_needed(saved, folder):
    for name in arrays_of(saved):
        edit_tensors(folder, lambda tensors, name=name: tensors.pop(name))
        with pytest.raises(ArtifactError, match="does not hold together"):
            load(folder, "cpu")
        (folder / WEIGHTS).write_bytes((saved / WEIGHTS).read_bytes())


def test_every_array_has_its_shape(saved, folder):
    def shorten(tensors, name):
        tensors[name] = tensors[name][:-1].contiguous()

    def widen(tensors, name):
        tensors[name] = torch.cat([tensors[name]] * 2, -1)

    def nest(tensors, name):
        tensors[name] = tensors[name][None]

    for name, array in arrays_of(saved).items():
        for change in (shorten, widen, nest) if array.numel() else (nest,):  # none stays none
            edit_tensors(folder, lambda tensors, change=change, name=name: change(tensors, name))
            with pytest.raises(ArtifactError, match="does not hold together"):
                load(folder, "cpu")
            (folder / WEIGHTS).write_bytes((saved / WEIGHTS).read_bytes())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_every_number_is_finite(saved, folder, value):
    for name, array in arrays_of(saved).items():
        if not array.is_floating_point() or not array.numel():
            continue
        edit_tensors(folder, lambda tensors, name=name: tensors[name].view(-1)[-1:].fill_(value))
        with pytest.raises(ArtifactError, match="is not finite"):
            load(folder, "cpu")
        (folder / WEIGHTS).write_bytes((saved / WEIGHTS).read_bytes())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fusion.median", 0.0),
        ("fusion.median", -1.0),
        ("fusion.weight", -1.0),
        ("fusion.weight", 0.0),
        ("partial.threshold", 0.0),
        ("calibration.threshold", -2.0),
        ("views.0.units.reach", 0.0),
        ("views.0.units.reach", -1.0),
        ("views.1.scaler.scale", 0.0),
        ("views.1.short.bank.owners", 2),
        ("views.1.short.bank.owners", -1),
        ("views.1.short.inverse", 0.0),
    ],
)
def test_numbers_that_make_no_detector_are_rejected(folder, name, value):
    edit_tensors(folder, lambda tensors: tensors[name].fill_(value))

    with pytest.raises(ArtifactError, match="does not hold together"):
        load(folder, "cpu")


def test_a_fusion_that_this_program_lacks_is_named_with_the_way_out(folder):
    description = json.loads((folder / DESCRIPTION).read_text())
    (folder / DESCRIPTION).write_text(json.dumps(description | {"fusion": {"kind": "ranks"}}))
    sign(folder)

    with pytest.raises(ArtifactError, match=r"the fusion 'ranks'.* knows 4-norm, log\. Install"):
        load(folder)


def test_a_fusion_of_the_other_kind_does_not_fit(folder):
    description = json.loads((folder / DESCRIPTION).read_text())
    (folder / DESCRIPTION).write_text(json.dumps(description | {"fusion": {"kind": "4-norm"}}))
    sign(folder)

    with pytest.raises(ArtifactError, match="does not hold together"):
        load(folder)


def test_an_artifact_from_before_the_pyramid_scores_as_it_did():
    """Format 2 as the last program without a pyramid wrote it."""
    recorded = np.load(DATA / "format-2-scores.npz")
    detector = load(DATA / "format-2", "cpu")

    scores = detector.score(*(recorded[name] for name in ("rows", "ends", "groups")))

    assert detector.warm_up == detector.receptive_field == 8
    assert not scores.partial.any()
    assert np.array_equal(scores.flagged, recorded["flagged"])
    readings = recorded["rows"][recorded["ends"]]
    whole = np.isfinite(readings)  # formats before 3 cannot clean
    np.testing.assert_allclose(scores.denoised[whole], readings[whole], rtol=1e-4, atol=1e-3)
    for name in set(SCORES) - {"denoised"}:
        # Another order of additions moves low bits, and a rounded value by its last decimal.
        np.testing.assert_allclose(
            recorded_of(scores, name), recorded[name], rtol=1e-4, atol=2e-6, err_msg=name
        )


def test_a_plain_training_gives_what_it_gave_before_the_pyramid():
    recorded = np.load(DATA / "plain-training.npz")

    detector = train(make_fleet(rows=600).series(), make_config(max_steps=20))
    assert isinstance(detector.head.fusion, Fusion)
    scores = score(detector, recorded["rows"], recorded["ends"])

    # Low bits grow over twenty steps on another processor.
    for found, name in (
        (detector.head.calibration.threshold, "threshold"),
        (detector.head.fusion.middle, "middle"),
        (scores.raw, "raw"),
        (scores.expected, "expected"),
    ):
        np.testing.assert_allclose(found, recorded[name], rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device (torch sees none)")
class TestOnADevice:
    """Looks are measured in another order of additions: low bits may differ, flags may not."""

    rows = small_fleet().noisy[0].copy()
    rows[700:720, 2] += 500
    ends = np.arange(15, 1500)
    lengths = np.minimum(ends + 1, 256)

    def test_a_gpu_gives_the_scores_of_the_cpu(self):
        detector = pyramid_detector()
        cpu, gpu = (
            score(detector.to(device), self.rows, self.ends, lengths=self.lengths)
            for device in ("cpu", "cuda")
        )

        assert np.array_equal(cpu.flagged, gpu.flagged)
        # The nearest of two examples that are alike to 2^-11 may be the other one: 5e-4 in a log.
        np.testing.assert_allclose(gpu.levels, cpu.levels, rtol=0, atol=5e-3, equal_nan=True)
        np.testing.assert_allclose(gpu.expected, cpu.expected, rtol=1e-4, atol=1e-2)

    def test_a_detector_comes_back_from_a_gpu_unharmed(self):
        detector = pyramid_detector()
        back = detector.to("cuda").to("cpu")

        one, two = (score(which, self.rows, self.ends[300:]) for which in (detector, back))

        for name in ALL:
            assert np.array_equal(getattr(one, name), getattr(two, name), equal_nan=True), name
        assert isinstance(pyramid_of(back), PyramidView)

    def test_cuts_change_no_flag_on_a_gpu(self):
        detector = pyramid_detector().to("cuda")
        ends = self.ends[300:]

        whole = score(detector, self.rows, ends)
        parts = [score(detector, self.rows, ends[i : i + 97]) for i in range(0, len(ends), 97)]

        found = np.concatenate([part.flagged + 97 * i for i, part in enumerate(parts)])
        assert np.array_equal(found, whole.flagged)
