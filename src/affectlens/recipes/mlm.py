"""How MLM is trained: as its authors' script does, and as one would today.

affectlens train mlm_paper --data fi:PATH --out RUN
affectlens train mlm_release --data fi:PATH --out RUN
affectlens train mlm_release --set network=mlm_paper ...     the paper's network by the script's recipe
"""

from affectlens.preprocess import PreprocessingSettings
from affectlens.training.augment import Augmentation
from affectlens.training.settings import Loss, Settings

# The script's alpha sums to 1 and weighs a picture of FI by 0.092 on average; ours weighs it by 1.
MEAN_ALPHA = 0.092


def paper() -> Settings:
    """MLM by its paper, trained as one would today: AdamW, class-imbalance loss with a single softmax.

    Unlike `release`: learning rates that fall towards the stem and a cosine, so that ten epochs do for sixty;
    no jitter of colour, which is what the Gram branches are to learn from; the moving average (EMA) of the
    weights is what is kept. Selected on the validation split, which the script does not have.
    """
    return Settings(
        network="mlm_paper",
        epochs=10,
        lr=5e-4,
        loss=Loss(cross_entropy=0.0, class_imbalance=1.0),
        label_smoothing=0.0,
        ema_decay=0.998,
    )


def release() -> Settings:
    """MLM by its script: SGD at 1e-4 halved every 10 of 60 epochs, pictures squashed, two softmaxes.

    Known to differ: the backbone is timm's ResNet-50, the best epoch on the validation split is kept (the
    script keeps the last, and prints test accuracy after each), and the momentum is torch's, which differs
    at the steps of the learning rate alone. MXNet's jitter of saturation shifts brightness too: under all
    three jitters the mean of a picture has a standard deviation of 41 levels there and of 29 here. Its batch
    norms keep the biased variance, torch's the unbiased one, 16/15 of it at a batch of 16.
    """
    return Settings(
        network="mlm_release",
        epochs=60,
        batch_size=16,
        optimizer="sgd",
        momentum=0.9,
        lr=1e-4,
        weight_decay=1e-4,
        decay_all=True,
        layer_decay=1.0,
        warmup=0.0,
        schedule="steps",
        step_epochs=10,
        step_factor=0.5,
        clip_grad=0.0,
        loss=Loss(cross_entropy=0.0, class_imbalance=MEAN_ALPHA, double_softmax=True),
        label_smoothing=0.0,
        precision="float32",
        preprocessing=PreprocessingSettings(height=224, width=224, interpolation="bilinear"),
        augmentation=Augmentation(squash=256, crop_scale=0.08, colour_jitter=0.4, lighting=0.1),
        select_by="accuracy",
    )
