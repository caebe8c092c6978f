"""From a kind to a view: with `detector.models.registry`, all by which an artifact runs code."""

from collections.abc import Mapping
from typing import Any

from detector.views.base import View
from detector.views.denoising import DenoisingView
from detector.views.pyramid import PyramidView
from detector.views.reconstruction import ReconstructionView

ViewRegistry = Mapping[str, type[View[Any]]]

VIEWS: ViewRegistry = {view.kind: view for view in (ReconstructionView, PyramidView, DenoisingView)}
