"""Whether what stands out looks like something that people have called a false alarm.

Two readings are alike whose score comes from the same channels while the machine is in the same
state: their profiles (each channel's share in the score) and their latent vectors lie within two
radii. The radii are what the readings of one exceedance of the calibration block keep from its
highest one, so alike means: as near as two readings of one event.

The profile tells events of other channels apart, the latent vector the states of the machine: the
same event in another state is not alike, and needs a word of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64

from detector.calibration.alarm_numbers import APART, BEYOND

QUANTILE = 0.9
"""Of the distances between the readings of an exceedance and its highest one."""
TOP = 0.01
"""Share of the calibration rows that stand out the most..."""
FEWEST = 32
"""...where they give so many distances; else those that the alarm rule's tail is made of."""
LEAST_RADIUS, MOST_PROFILE = 0.05, 0.5
"""Radii below are none but chance; profiles farther apart have more shares apart than in common."""
_FEWEST_ROWS = 64
_LEAST_SCALE = 0.01


@dataclass(frozen=True, kw_only=True)
class ScoredRows:
    """Calibration rows of one sensor, in order of time, as the finished detector scores them.

    Attributes:
        group: its calibration group, or the pooled one's.
        places: of the rows in the history; ascending, by 1 from reading to reading.
        level: the ranking level; NaN where unknown.
        profile: each channel's share in the score.
        latent: latent vectors of the signal view.
    """

    group: int
    places: Int64[np.ndarray, " n"]
    level: Float64[np.ndarray, " n"]
    profile: Float32[np.ndarray, "n channels"]
    latent: Float32[np.ndarray, "n latent"]


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """What is alike.

    Attributes:
        latent_scale: standard deviation of each latent number over the calibration block, > 0;
            row 0 is the pooled group's.
        radius_profile: total variation distance of two profiles, above 0 to 1.
        radius_latent: root mean square of the differences of two latent vectors, in standard
            deviations, > 0.

    Raises:
        ValueError: numbers out of range.
    """

    latent_scale: Float64[np.ndarray, "groups latent"]
    radius_profile: float
    radius_latent: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.latent_scale) & (self.latent_scale > 0)).all():
            raise ValueError("every latent number needs a standard deviation greater than 0")
        if not (0 < self.radius_profile <= 1 and 0 < self.radius_latent < np.inf):
            raise ValueError(
                "a radius must be greater than 0, that of profiles at most 1, got "
                f"{self.radius_profile} and {self.radius_latent}"
            )

    def alike(
        self,
        profile: Float[np.ndarray, " channels"],
        latent: Float[np.ndarray, " latent"],
        profiles: Float[np.ndarray, "remembered channels"],
        latents: Float[np.ndarray, "remembered latent"],
        group: int,
    ) -> int | None:
        """The remembered one that a reading is most alike to.

        Args:
            profile: of the reading, whole.
            latent: of the reading.
            profiles: of those remembered. One may hold its largest shares alone, and 0 for the
                rest: what is missing to 1 then lies in channels that are 0, nobody knows which.
            latents: of those remembered.
            group: calibration group of the sensor.

        Returns:
            The nearest within both radii, by the larger of the two distances, each in its radius;
            the first of several; None if there is none.
        """
        if len(profiles) == 0:
            return None
        with np.errstate(invalid="ignore", over="ignore"):
            far = np.maximum(
                profile_distances(profile, profiles) / self.radius_profile,
                latent_distances(latent, latents, self.latent_scale[group]) / self.radius_latent,
            )
        far[~np.isfinite(far)] = np.inf
        nearest = int(np.argmin(far))
        return nearest if far[nearest] <= 1 else None

    @property
    def radii(self) -> dict[str, float]:
        """For people."""
        return {"profile": self.radius_profile, "latent": self.radius_latent}

    def arrays(self) -> dict[str, np.ndarray]:
        """All numbers by name, as an artifact stores them."""
        radii = np.array([self.radius_profile, self.radius_latent])
        return {"latent_scale": self.latent_scale, "radii": radii}

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, np.ndarray], shape: tuple[int, int]
    ) -> "Likeness | None":
        """What `arrays` gave; None of no arrays: the artifact is older.

        Args:
            arrays: by name.
            shape: calibration groups and numbers of a latent vector.

        Raises:
            ValueError: a name is missing, a shape does not fit, or a number is out of range.
        """
        if not arrays:
            return None
        found = {name: arrays[name].shape for name in ("latent_scale", "radii") if name in arrays}
        if found != {"latent_scale": shape, "radii": (2,)}:
            raise ValueError(f"likeness needs latent_scale {shape} and radii (2,), got {found}")
        profile, latent = arrays["radii"].tolist()
        scale = np.asarray(arrays["latent_scale"], dtype=np.float64)
        return cls(latent_scale=scale, radius_profile=profile, radius_latent=latent)

    @classmethod
    def fit(
        cls,
        history: Sequence[ScoredRows],
        pooled: Float32[np.ndarray, "n latent"],
        *,
        n_groups: int,
    ) -> "Likeness | None":
        """From calibration rows; None if no two of them belong to one exceedance.

        Args:
            history: of the sensors with numbers of their own, or of the pooled group where there
                are none.
            pooled: latent vectors as those of a sensor are that training has not seen.
            n_groups: with the pooled one; a group without rows takes the pooled numbers.
        """
        scale = np.repeat(_scale(pooled)[None], n_groups, axis=0)
        for rows in history:
            if rows.group and len(rows.latent) >= _FEWEST_ROWS:
                scale[rows.group] = _scale(rows.latent)
        found = np.empty((2, 0))
        for share in (TOP, BEYOND):
            own = [_within_exceedances(rows, share, scale[rows.group]) for rows in history]
            found = np.concatenate([found[:, :0], *own], axis=1)
            if found.shape[1] >= FEWEST:
                break
        if found.shape[1] == 0:
            return None
        profile, latent = np.maximum(np.quantile(found, QUANTILE, axis=1), LEAST_RADIUS)
        return cls(
            latent_scale=scale,
            radius_profile=min(float(profile), MOST_PROFILE),
            radius_latent=float(latent),
        )


def profile_distances(
    profile: Float[np.ndarray, " channels"], profiles: Float[np.ndarray, "n channels"]
) -> Float64[np.ndarray, " n"]:
    """Total variation distance of a whole profile to others, 0..1; see `Likeness.alike`.

    What the others lack to 1 is compared with what lies in all the channels where they have
    nothing: the least distance that agrees with what is known.
    """
    other = profiles.astype(np.float64)
    apart = np.where(other > 0, np.abs(other - profile), 0.0).sum(axis=1)
    rest = np.where(other > 0, 0.0, profile).sum(axis=1)
    distances: Float64[np.ndarray, " n"] = (apart + np.abs(rest - (1 - other.sum(axis=1)))) / 2
    return distances


def latent_distances(
    latent: Float[np.ndarray, " latent"],
    latents: Float[np.ndarray, "n latent"],
    scale: Float64[np.ndarray, " latent"],
) -> Float64[np.ndarray, " n"]:
    """Root mean square of the differences, in standard deviations."""
    apart = (latents.astype(np.float64) - latent) / scale
    distances: Float64[np.ndarray, " n"] = np.sqrt(np.square(apart).mean(axis=1))
    return distances


def exceedances(
    level: Float64[np.ndarray, " n"], places: Int64[np.ndarray, " n"], share: float
) -> list[Int64[np.ndarray, " _"]]:
    """Positions of the rows of each cluster among the share of rows with the highest levels."""
    known = np.isfinite(level)
    if not known.any():
        return []
    above = np.flatnonzero(known & (level > np.quantile(level[known], 1 - share)))
    return np.split(above, np.flatnonzero(np.diff(places[above]) > APART) + 1)


def _within_exceedances(
    rows: ScoredRows, share: float, scale: Float64[np.ndarray, " latent"]
) -> Float64[np.ndarray, "2 _"]:
    """Distances of profile and latent vector to the highest row of the same exceedance."""
    found = [np.empty((2, 0))]
    for cluster in exceedances(rows.level, rows.places, share):
        if len(cluster) > 1:
            top = cluster[np.argmax(rows.level[cluster])]
            near = np.abs(rows.places[cluster] - rows.places[top]) <= APART
            others = cluster[near & (cluster != top)]
            found.append(
                np.stack(
                    [
                        profile_distances(rows.profile[top], rows.profile[others]),
                        latent_distances(rows.latent[top], rows.latent[others], scale),
                    ]
                )
            )
    return np.concatenate(found, axis=1)


def _scale(latent: Float32[np.ndarray, "n latent"]) -> Float64[np.ndarray, " latent"]:
    """Standard deviations; one that never moved gets a small share of what the others do."""
    deviation: Float64[np.ndarray, " latent"] = latent.astype(np.float64).std(axis=0)
    usual = float(np.sqrt(np.square(deviation).mean()))
    np.maximum(deviation, _LEAST_SCALE * usual if usual > 0 else 1.0, out=deviation)
    return deviation
