import hashlib
import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import torch as safetensors

from detector.artifact import (
    DESCRIPTION,
    FORMAT_VERSION,
    MANIFEST,
    WEIGHTS,
    ArtifactError,
    load,
    save,
)
from detector.models import KINDS
from detector.scoring import Detector
from tests.support.fleets import CHANNELS, make_fleet, trained, trained_with_two_views
from tests.support.views import REGISTRY

DATA = Path(__file__).parent / "data"
# A digest that begins with c asks for a module.
NO_PICKLE = (pickle.UnpicklingError, ValueError, KeyError, EOFError, IndexError, ImportError)
SCORES = ("score", "raw", "p_value", "expected", "denoised", "flagged", "contribution")


def recorded_of(scores, name):
    """As old programs gave it: shares of the flagged samples alone."""
    found = getattr(scores, name)
    return found[scores.flagged] if name == "contribution" else found


@pytest.fixture
def folder(tmp_path):
    return save(trained(), tmp_path / "model")


def edit(folder, **changes):
    """Change the description and sign it again, as a careful forger would."""
    description = json.loads((folder / DESCRIPTION).read_text()) | changes
    (folder / DESCRIPTION).write_text(json.dumps(description))
    sign(folder)


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


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_detector_scores_bit_for_bit_like_the_saved_one(kind, tmp_path):
    detector = trained(kind)
    rows, ends = make_fleet().noisy[0], np.arange(15, 600)
    groups = np.ones(len(ends), dtype=np.int32)

    twin = load(save(detector, tmp_path / "model"), "cpu")
    one, two = detector.score(rows, ends, groups), twin.score(rows, ends, groups)

    for name in SCORES:
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    assert twin.channels == detector.channels
    assert twin.head.alarms is not None
    assert detector.head.alarms is not None
    assert twin.head.alarms.rate == detector.head.alarms.rate
    assert twin.head.alarms.dials == detector.head.alarms.dials
    assert (twin.interval_s, twin.max_gap_s) == (detector.interval_s, detector.max_gap_s)
    assert [twin.group_of(s) for s in ("s0", "s1", "x")] == [1, 2, 0]


def test_a_second_view_comes_back_with_its_numbers(tmp_path):
    detector = trained_with_two_views()
    rows, ends = make_fleet().noisy[0], np.arange(31, 600)
    groups = np.ones(len(ends), dtype=np.int32)

    folder = save(detector, tmp_path / "model")
    twin = load(folder, "cpu", registry=REGISTRY)
    one, two = detector.score(rows, ends, groups), twin.score(rows, ends, groups)

    for name in SCORES:
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    assert [view.kind for view in twin.views] == ["reconstruction", "level", "denoising"]
    assert twin.receptive_field == 32
    again = save(twin, tmp_path / "again")
    assert (again / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()


def test_a_view_that_the_registry_lacks_is_named_with_the_way_out(tmp_path):
    folder = save(trained_with_two_views(), tmp_path / "model")

    with pytest.raises(ArtifactError, match=r"view of kind 'level'.* knows reconstruction, py"):
        load(folder)


def test_a_fusion_of_another_kind_is_named_with_the_way_out(folder):
    edit(folder, fusion={"kind": "ranks"})

    with pytest.raises(ArtifactError, match=r"the fusion 'ranks'.* Install the Vigie that wrote"):
        load(folder)


class TestFormat1:
    """An artifact, readings and scores that the last program of format 1 wrote."""

    folder = DATA / "format-1"
    recorded = np.load(DATA / "format-1-scores.npz")

    def score(self, detector):
        return detector.score(*(self.recorded[name] for name in ("rows", "ends", "groups")))

    def test_it_scores_as_it_did(self):
        scores = self.score(load(self.folder, "cpu"))

        assert np.array_equal(scores.flagged, self.recorded["flagged"])
        rows, ends, _ = (self.recorded[name] for name in ("rows", "ends", "groups"))
        # Formats before 3 cannot clean: a reading is published as it came.
        whole = np.isfinite(rows[ends])
        np.testing.assert_allclose(scores.denoised[whole], rows[ends][whole], rtol=1e-5)
        assert np.array_equal(scores.denoised[~whole], scores.expected[~whole])
        for name in set(SCORES) - {"denoised"}:
            # Another processor may multiply matrices in another order; one bit of 24 is 1e-7.
            np.testing.assert_allclose(
                recorded_of(scores, name), self.recorded[name], rtol=1e-5, atol=2e-6, err_msg=name
            )

    def test_no_bit_changes_when_it_is_saved_in_the_format_of_today(self, tmp_path):
        old = load(self.folder, "cpu")
        new = load(save(old, tmp_path / "model"), "cpu")

        description = json.loads((tmp_path / "model" / DESCRIPTION).read_text())
        assert description["format_version"] == FORMAT_VERSION
        assert new.identity == old.identity
        one, two = self.score(old), self.score(new)
        for name in SCORES:
            assert np.array_equal(getattr(one, name), getattr(two, name)), name

    def test_a_second_view_is_not_of_this_format(self, tmp_path):
        folder = shutil.copytree(self.folder, tmp_path / "model")
        views = json.loads((folder / DESCRIPTION).read_text())["views"]
        edit(folder, views=views * 2)

        with pytest.raises(ArtifactError, match="does not hold together"):
            load(folder)


def test_the_version_is_the_content(tmp_path):
    one, two = save(trained(), tmp_path / "a"), save(trained(), tmp_path / "b")
    other = save(trained("pca"), tmp_path / "c")

    assert load(one).version == load(two).version
    assert len(load(one).version) == 12
    assert load(one).version != load(other).version


def test_a_given_name_and_version_are_kept(tmp_path):
    detector = trained()
    identity = replace(detector.identity, name="pumps", version="7")
    folder = save(Detector(identity, detector.views, detector.head), tmp_path / "model")

    assert (load(folder).name, load(folder).version) == ("pumps", "7")


def test_no_file_is_a_pickle(folder):
    assert {path.name for path in folder.iterdir()} == {WEIGHTS, DESCRIPTION, MANIFEST}
    for path in folder.iterdir():
        with pytest.raises(NO_PICKLE):
            pickle.loads(path.read_bytes())


def test_the_manifest_is_what_sha256sum_reads(folder):
    for line in (folder / MANIFEST).read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("name", [WEIGHTS, DESCRIPTION])
@pytest.mark.parametrize("place", [0, 0.3, 0.999])
def test_one_flipped_bit_is_found(folder, name, place):
    data = bytearray((folder / name).read_bytes())
    data[int(place * len(data))] ^= 1
    (folder / name).write_bytes(data)

    with pytest.raises(ArtifactError, match=rf"{name} is damaged or truncated"):
        load(folder)


@pytest.mark.parametrize("name", [WEIGHTS, DESCRIPTION])
@pytest.mark.parametrize("keep", [0, 100])
def test_a_truncated_file_is_found(folder, name, keep):
    (folder / name).write_bytes((folder / name).read_bytes()[:keep])

    with pytest.raises(ArtifactError, match="damaged or truncated"):
        load(folder)


@pytest.mark.parametrize("name", [WEIGHTS, DESCRIPTION, MANIFEST])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()

    with pytest.raises(ArtifactError, match=name):
        load(folder)


def test_a_folder_that_is_none_says_what_to_give(tmp_path):
    with pytest.raises(ArtifactError, match="vigie train"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("listing", ["", "abc  other.bin\n", "no manifest at all"])
def test_a_foreign_manifest_is_rejected(folder, listing):
    (folder / MANIFEST).write_text(listing)

    with pytest.raises(ArtifactError, match="must list"):
        load(folder)


def test_a_foreign_description_is_rejected(folder):
    edit(folder, format="other.model")

    with pytest.raises(ArtifactError, match="was not written by Vigie"):
        load(folder)


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, "3", None])
def test_a_newer_format_is_rejected_with_the_way_out(folder, version):
    edit(folder, format_version=version)

    with pytest.raises(ArtifactError, match="Install the Vigie that wrote it, or a newer one"):
        load(folder)


@pytest.mark.parametrize(
    "channels", [CHANNELS[:3], CHANNELS[::-1], (*CHANNELS, "x"), ("a", "b", "c", "d")]
)
def test_another_channel_list_is_rejected(folder, channels):
    with pytest.raises(ArtifactError, match="trained on the channels"):
        load(folder, channels=channels)

    assert load(folder, channels=CHANNELS).channels == CHANNELS


def view(model, **changes):
    """The description of `trained`'s view, with changes."""
    sizes = {"n_channels": 4, "receptive_field": 16, "latent_size": 8, **changes}
    return {
        "kind": "reconstruction",
        "config": {"model": model, "sizes": sizes},
        "features": ["last", "recent", "mean", "rms", "still"],
    }


def test_the_description_of_these_tests_is_the_right_one(folder):
    edit(folder, views=[view("dense")])

    load(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"views": []},
        {"views": [{}]},
        {"views": [view("__import__")]},
        {"views": [view("dense", latent_size=7)]},
        {"views": [view("dense", receptive_field=99)]},
        {"views": [view("dense") | {"features": ["last"]}]},
        {"views": [view("dense"), view("dense")]},
        {"fusion": {}},
        {"channels": ["a"]},
        {"units": []},
        {"sensors": ["one too few"]},
        {"interval_s": 0},
        {"name": 7},
        {"alarms": {}},
        {"alarms": {"rate": 7.0, "dials": {}}},
        {"alarms": {"rate": 0.1, "dials": {"unknown": 1}}},
    ],
)
def test_a_signed_description_that_does_not_fit_its_weights_is_rejected(folder, changes):
    edit(folder, **changes)

    with pytest.raises(ArtifactError, match="does not hold together"):
        load(folder)


def drop_layer(tensors):
    del tensors["views.0.model.encoder.0.weight"]


def poison_weight(tensors):
    tensors["views.0.model.encoder.0.weight"][0, 0] = float("nan")


def poison_threshold(tensors):
    tensors["calibration.threshold"][0] = 0.0


def reshape_scale(tensors):
    tensors["views.0.scaler.scale"] = tensors["views.0.scaler.scale"][:, :1].contiguous()


def drop_scaler(tensors):
    tensors["views.1.scaler.scale"] = tensors.pop("views.0.scaler.scale")


def drop_knots(tensors):
    tensors["calibration.knots"] = tensors["calibration.knots"][:1].contiguous()


@pytest.mark.parametrize(
    "change", [drop_layer, poison_weight, poison_threshold, reshape_scale, drop_scaler, drop_knots]
)
def test_signed_weights_that_make_no_detector_are_rejected(folder, change):
    edit_tensors(folder, change)

    with pytest.raises(ArtifactError, match="does not hold together"):
        load(folder)


def test_an_artifact_is_replaced_as_a_whole(folder):
    save(trained("pca"), folder)

    assert load(folder).signal.model.kind == "pca"
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_something_else_is_not_overwritten(tmp_path):
    (tmp_path / "thesis.txt").write_text("three years")

    with pytest.raises(ArtifactError, match="not a Vigie artifact"):
        save(trained(), tmp_path)

    assert (tmp_path / "thesis.txt").read_text() == "three years"


def test_a_failed_save_leaves_the_old_artifact_and_no_debris(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("detector.artifact.os.fsync", full)

    with pytest.raises(OSError, match="No space left"):
        save(trained("pca"), folder)

    assert load(folder).signal.model.kind == "dense"
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
