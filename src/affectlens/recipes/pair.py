"""A pair in one run: how the default model of version 0.1 was trained, on FI.

    affectlens train pair --data fi:PATH --out RUN

It is the default model of today as well; docs/results/screening.md compares the recipe with others.
"""

from affectlens.preprocess import PreprocessingSettings
from affectlens.training.augment import Augmentation
from affectlens.training.settings import Settings


def settings() -> Settings:
    """DeiT-Tiny and MobileNetV2 in one run, the default model's recipe of version 0.1.

    Trained at 160 pixels, a third of the cost of 224, for use at 224. A random crop shows things larger than
    the whole picture does, so the larger picture in use brings them back to the size seen in training
    (Touvron et al., "Fixing the train-test resolution discrepancy", NeurIPS 2019).
    """
    return Settings(
        network="pair",
        network_options={"drop_path": 0.05, "dropout": 0.1, "mirror": False},
        epochs=10,
        lr=7e-4,
        warmup=0.08,
        mixup=0.2,
        cutmix=0.5,
        ema_decay=0.998,
        logit_adjustment=0.3,
        preprocessing=PreprocessingSettings(height=224, width=224, interpolation="bilinear"),
        low_res_size=160,
        low_res_fraction=1.0,
        augmentation=Augmentation(crop_scale=0.35, colour_jitter=0.1),
        cache_side=256,
    )
