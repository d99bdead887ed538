"""How PDANet is trained, after its authors' code: for classes, and for ratings as in its paper.

affectlens train pdanet --data fi:PATH --out RUN
affectlens train pdanet_ratings --data csv:TABLE@PICTURES --out RUN
"""

from dataclasses import replace

from affectlens.preprocess import PreprocessingSettings
from affectlens.training.augment import Augmentation
from affectlens.training.settings import Loss, Settings


def settings() -> Settings:
    """PDANet for classes: SGD at 1e-3, new layers at ten times that, 448 pixels, wrong polarity counts twice.

    300 epochs, a tenth of the learning rate from the 251st on, pictures not varied: numbers of the authors'
    regression, on sets much smaller than FI, where fewer may do (`--set epochs=30 --set step_epochs=25`).

    Known to differ: the authors' code trains no classes, so the loss is inferred: cross-entropy times
    1 + lambda where the polarity is wrong, with their lambda of 1 (10 for one of their sets, NAPS). Their
    dense layers were meant to learn at 1e-2 and do not learn at all; here all that lies above the backbone
    learns at that, both attentions too. Biases and norms decay, as in torch's SGD. A picture is resized to
    448 x 448 and seen once, where their evaluation can average ten crops. The best epoch on the validation
    split is kept.
    """
    return Settings(
        network="pdanet",
        epochs=300,
        batch_size=32,
        optimizer="sgd",
        momentum=0.9,
        lr=1e-3,
        head_lr_scale=10.0,
        weight_decay=5e-4,
        decay_all=True,
        layer_decay=1.0,
        warmup=0.0,
        schedule="steps",
        step_epochs=250,
        step_factor=0.1,
        clip_grad=0.0,
        loss=Loss(polarity=1.0),
        label_smoothing=0.0,
        augmentation=Augmentation(crop_scale=1.0, flip=0.0),
        preprocessing=PreprocessingSettings(height=448, width=448),
        select_by="accuracy",
    )


def ratings() -> Settings:
    """PDANet for valence, arousal and dominance, as in its paper: squared error, wrong sides count twice.

    The table has these three columns, from 1 to 9 (`--rating valence:1:7 --rating arousal:1:7` takes others).
    All else is as in `settings`: the published learning rates, batch, epochs and 448 pixels. Lambda is 1, as
    for all of their sets but NAPS (`--set loss.rating_polarity=10`).

    Known to differ: emotions are learned as well, with a tenth of the weight, so that the model has some to
    answer: the table's labels, or positive and negative by valence. Their evaluation may average ten crops.
    Ratings start at their mean over the training pictures. The epoch of the smallest error on the validation
    split is kept.
    """
    return replace(
        settings(),
        ratings=("valence", "arousal", "dominance"),
        loss=Loss(cross_entropy=0.1, ratings=1.0, rating_polarity=1.0),
        select_by="ratings_rmse",
    )
