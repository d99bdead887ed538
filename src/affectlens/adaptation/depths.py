"""How deep a trained model learns the words of one's own, and by which settings: by the number of pictures.

    head    its last layer alone, fitted by logistic regression (`adaptation.head`)
    last    the last block or stage of each backbone too, by training
    all     all of it, first layers slower, once the new classifier has learned for an epoch

Few pictures are seen more often, in smaller steps, and training waits longer for a better epoch, for the part
that it waits on is small. Where the last block alone learns pictures are mirrored and not cropped: what lies
below then gives two outputs of each, which are computed once (`training.kept_outputs`). The learning rate
stays the same from the first step to the last, and what is kept is the moving average of the weights: then
the best epoch of folds is also where training on all pictures may end, whose length was not known before.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from affectlens.errors import UnknownName

HEAD, LAST_BLOCK, ALL_LAYERS = "head", "last", "all"
DEPTHS = (HEAD, LAST_BLOCK, ALL_LAYERS)


@dataclass(frozen=True)
class _Amount:
    """Settings for data sets of fewer than so many pictures to learn from."""

    below: float
    epochs: int
    patience: int
    batch_size: int
    crop_scale: float


_AMOUNTS = (
    _Amount(500, 12, 3, 16, 0.6),
    _Amount(2_000, 10, 3, 32, 0.5),
    _Amount(math.inf, 8, 2, 64, 0.35),
)
_LR = {LAST_BLOCK: 1e-4, ALL_LAYERS: 5e-5}
_HEAD_LR_SCALE = 10.0  # the classifier of new words has more to learn than what lies below it
_STEPS_REMEMBERED = 10  # at least, by the moving average
_DECODED_SIDE = 256


def require_depth(depth: str) -> None:
    """Raise `UnknownName` for a depth that is none."""
    if depth not in DEPTHS:
        raise UnknownName("depth", depth, DEPTHS, "finetune")


def settings_by_amount(depth: str, pictures: int) -> Mapping[str, Any]:
    """Return settings of training by their names, for so many pictures to learn from.

    >>> settings_by_amount("last", 200)["epochs"], settings_by_amount("last", 20_000)["epochs"]
    (12.0, 8.0)
    """
    amount = next(each for each in _AMOUNTS if pictures < each.below)
    steps = max(_STEPS_REMEMBERED, math.ceil(pictures / amount.batch_size))
    of_depth = (
        {"frozen_layers": -1, "augmentation.crop_scale": 1.0} if depth == LAST_BLOCK else {"frozen_epochs": 1}
    )
    return {
        "epochs": float(amount.epochs),
        "patience": amount.patience,
        "batch_size": amount.batch_size,
        "augmentation.crop_scale": amount.crop_scale,
        "lr": _LR[depth],
        "head_lr_scale": _HEAD_LR_SCALE,
        "warmup": 0.0,
        "schedule": "steps",
        "step_factor": 1.0,
        "ema_decay": round(1 - 1 / steps, 4),
        "select_by": "likelihood",
        "cache_side": _DECODED_SIDE,
        # For few pictures processes that read them take longer to begin than to read.
        "num_workers": 0 if amount is _AMOUNTS[0] else -1,
        **of_depth,
    }
