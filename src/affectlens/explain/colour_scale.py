"""How strong a heat map must be somewhere to have full colour there."""

from collections.abc import Sequence

import numpy as np

from affectlens.explain.core.heatmap import Heatmap
from affectlens.report.heatmaps import ColourScale


def scale_of(heatmaps: Sequence[Heatmap]) -> ColourScale:
    """Choose one scale for maps in one unit that are shown together; others have each its own."""
    if not all(each.sums_up for each in heatmaps) or len({each.unit for each in heatmaps}) > 1:
        return ColourScale(0.0, "relative to the maximum" + (" of each map" if len(heatmaps) > 1 else ""))
    values = np.concatenate([each.seen().ravel() for each in heatmaps])
    return ColourScale.of(values, heatmaps[0].unit)


def full_strength(heatmap: Heatmap, scale: ColourScale) -> float:
    """Return the strength with full colour on a scale; on a map's own, its maximum."""
    return scale.full or float(np.abs(heatmap.seen()).max()) or 1.0
