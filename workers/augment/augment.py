"""More windows of each class of a set, and what became of each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from detector.augmentation import Made, Method, Recipe, Residual, augment, one_label
from detector.latent import Latents, encode
from detector.scoring import Detector
from workers.augment.labelled import Labelled
from workers.augment.windows import Cut, Place, groups_of, values_of

_LEAST_STATES = 2


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to make.

    Attributes:
        methods: that share the windows of a class evenly.
        factor: how many times as many windows a class has afterwards.
        count: windows to make of each class; None = by the factor.
        radius: see `Recipe`.
        residual: see `Recipe`.
        normal: class of normal operation, whose windows say how states vary.
        seed: of what is drawn.
    """

    methods: tuple[Method, ...]
    factor: float = 2.0
    count: int | None = None
    radius: float = 1.0
    residual: Residual = Residual.KEEP
    normal: str | None = None
    seed: int = 0

    def of(self, used: int) -> int:
        """Windows to make of a class that has so many."""
        return round((self.factor - 1.0) * used) if self.count is None else self.count


@dataclass(frozen=True, kw_only=True)
class ClassOutcome:
    """What became of a class.

    Attributes:
        label: its word; "" if the set has no classes.
        places: of the windows that were used.
        made: windows; None if there are none.
        refused: methods that made nothing, and why.
    """

    label: str
    places: tuple[Place, ...]
    made: Made | None
    refused: Mapping[Method, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Windows made."""
        return 0 if self.made is None else len(self.made)


@dataclass(frozen=True, kw_only=True)
class Maker:
    """Makes windows of a set.

    Attributes:
        detector: encodes and decodes.
        labelled: what was read.
        found: its windows.
        plan: what to make.
    """

    detector: Detector
    labelled: Labelled
    found: Cut
    plan: Plan

    def of_all(self) -> list[ClassOutcome]:
        """Make windows of every class, each out of its own windows alone.

        Raises:
            ValueError: there is no class of normal operation as named, or it has too few windows.
        """
        states = self._states()
        return [
            self._of_class(self.found.of_class(code), code, states)
            for code in range(len(self.labelled.classes))
        ]

    def of_sources(self, sources: Sequence[Place]) -> list[ClassOutcome]:
        """Make windows of some that a person named.

        Raises:
            ValueError: they are of different classes; or as for `of_all`.
        """
        one_label([self.labelled.classes[one.code] for one in sources])
        return [self._of_class(tuple(sources), sources[0].code, self._states())]

    def _states(self) -> Latents | None:
        """Latents of normal operation; None if nobody said what that is."""
        normal, classes = self.plan.normal, self.labelled.classes
        if normal is None:
            return None
        if normal not in classes:
            raise ValueError(
                f"no row is labelled {normal!r} (--normal); there are "
                f"{', '.join(map(repr, classes))}"
            )
        places = self.found.of_class(classes.index(normal))
        if len(places) < _LEAST_STATES:
            raise ValueError(
                f"{normal!r} (--normal) has {len(places)} windows; how states vary takes "
                f"{_LEAST_STATES}"
            )
        return encode(
            self.detector,
            values_of(self.labelled, places, self.detector),
            groups_of(self.labelled, places, self.detector),
        )

    def _of_class(
        self, places: tuple[Place, ...], code: int, states: Latents | None
    ) -> ClassOutcome:
        label, plan = self.labelled.classes[code], self.plan
        if not places:
            return ClassOutcome(label=label, places=(), made=None)
        refused = {
            method: why for method in plan.methods if (why := _why_not(method, places, states))
        }
        methods = [method for method in plan.methods if method not in refused]
        if not methods:
            return ClassOutcome(label=label, places=places, made=None, refused=refused)
        values = values_of(self.labelled, places, self.detector)
        groups = groups_of(self.labelled, places, self.detector)
        made = None
        for method, count in zip(methods, _shares(plan.of(len(places)), len(methods)), strict=True):
            some = augment(
                self.detector,
                values,
                groups,
                labels=[self.labelled.classes[one.code] for one in places],
                recipe=Recipe(method=method, residual=plan.residual, radius=plan.radius),
                count=count,
                generator=np.random.default_rng([plan.seed, code, list(Method).index(method)]),
                unlabelled=states,
            )
            made = some if made is None else made.followed_by(some)
        return ClassOutcome(label=label, places=places, made=made, refused=refused)


def _why_not(method: Method, places: Sequence[Place], states: Latents | None) -> str:
    """Why a method can make nothing of these windows; empty if it can."""
    needed = Recipe(method=method).least
    if len(places) < needed:
        return f"needs {needed} windows of the class, there is {len(places)}"
    if method is Method.TRANSFER and states is None:
        return "needs to know which windows are of normal operation (--normal LABEL)"
    return ""


def _shares(count: int, methods: int) -> list[int]:
    return [count // methods + (place < count % methods) for place in range(methods)]
