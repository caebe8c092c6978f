"""From a kind to a view: with `detector.models.registry`, all by which an artifact runs code."""

from collections.abc import Mapping
from typing import Any

from detector.views.base import View
from detector.views.reconstruction import ReconstructionView

ViewRegistry = Mapping[str, type[View[Any]]]

VIEWS: ViewRegistry = {ReconstructionView.kind: ReconstructionView}
