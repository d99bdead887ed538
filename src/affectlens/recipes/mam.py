"""How MAM is trained: as its authors' script does, and as one would today.

affectlens train mam_paper --data fi:PATH --out RUN
affectlens train mam_release --data fi:PATH --out RUN
affectlens train mam_release --set network=mam_paper ...     the paper's network by the script's recipe
"""

from dataclasses import replace

from affectlens.recipes import mlm
from affectlens.training.settings import Loss, Settings


def paper() -> Settings:
    """MAM by its paper, trained as one would today: AdamW, cross-entropy and the emotion similarity loss.

    The similarity loss compares logits. Its weight in the paper is not known; here both count alike. A batch
    of 64 sampled at random has pairs of every emotion but the rarest; `pictures_per_emotion=8` gives 8 of
    each instead.
    """
    return Settings(
        network="mam_paper",
        epochs=10,
        lr=5e-4,
        loss=Loss(cross_entropy=1.0, similarity=1.0),
        label_smoothing=0.0,
        ema_decay=0.998,
    )


def release() -> Settings:
    """MAM by its script: SGD at 1e-3, a tenth every 10 of 80 epochs, plain cross-entropy.

    The learning rate is at 1e-5 after 20 epochs and at 1e-10 in the last: some 30 do as much. Known to
    differ: as in `recipes.mlm`; and the script drops the last incomplete batch of the test set, which counts
    here.
    """
    script = mlm.release()
    return replace(
        script,
        network="mam_release",
        epochs=80,
        batch_size=32,
        lr=1e-3,
        step_factor=0.1,
        loss=Loss(),
        augmentation=replace(script.augmentation, crop_scale=0.2),
    )
