"""How ViT-B/16 is trained on EmoSet: as the authors' notebook does, as one would today, and with attributes.

affectlens train vit_emoset --data emoset:PATH --out RUN
affectlens train vit_emoset_release --data emoset:PATH --out RUN
affectlens train vit_emoset_multitask --data emoset:PATH --out RUN

Source: a project at the University of Porto, December 2023, that fine-tunes a ViT-B/16 of ImageNet-21k. Its
notebook ends at 78.18 % on EmoSet's test split; its slides have 79.1. None of the three has been run on
all of EmoSet: the numbers of `emoset` and `multitask` are what is usual for this network, not the best.
"""

from affectlens.preprocess import PreprocessingSettings
from affectlens.training.augment import Augmentation
from affectlens.training.settings import Loss, Settings


def emoset() -> Settings:
    """ViT-B/16 on EmoSet, as one would today: mirrors, layer decay, some mixing, an EMA of weights.

    Ten epochs of 1,476 steps.
    """
    return Settings(
        network="vit",
        network_options={"drop_path": 0.1},
        epochs=10,
        lr=3e-4,
        layer_decay=0.75,
        mixup=0.2,
        cutmix=0.5,
        mix_prob=0.5,
        ema_decay=0.9995,
        augmentation=Augmentation(crop_scale=0.35, flip=0.5),
        select_by="accuracy",
    )


def release() -> Settings:
    """ViT-B/16 on EmoSet by the authors' notebook: 14 epochs at 1.1208e-5, crops from 0.08, no mirrors.

    The weights are those of Dosovitskiy et al., with the mean and standard deviation of 0.5 that they expect.
    The learning rate and the batch are what its search found; 14 epochs (20,664 steps) are the length of the
    run whose figure the slides have, of which the search found four. All else are the defaults of the library
    that it uses: AdamW without weight decay, gradients clipped at 1, a straight fall after a tenth of the
    steps.

    Known to differ: the notebook trained four epochs and then ten, here one schedule falls over all;
    validation pictures are resized and not cropped at random, so that selection is not a draw; the classifier
    begins at half the spread (0.01). The search called for a seed of 1.899; ours is 0.
    """
    return Settings(
        network="vit_base_patch16_224.orig_in21k",
        epochs=14,
        batch_size=16,
        grad_accum_steps=4,
        lr=1.1208e-5,
        weight_decay=0.0,
        layer_decay=1.0,
        warmup=0.1,
        schedule="linear",
        clip_grad=1.0,
        label_smoothing=0.0,
        precision="float32",
        preprocessing=PreprocessingSettings(interpolation="bilinear"),
        augmentation=Augmentation(crop_scale=0.08, flip=0.0),
        select_by="accuracy",
    )


def multitask() -> Settings:
    """ViT-B/16 that learns EmoSet's six attributes too, and reads emotions from them and a residual.

    No mixing, for a blend of two pictures shows no one scene; larger crops, and no change of colours, because
    the annotations are of the whole picture as it was.
    """
    return Settings(
        network="vit_attributes",
        network_options={"drop_path": 0.1},
        epochs=10,
        lr=3e-4,
        layer_decay=0.75,
        ema_decay=0.9995,
        loss=Loss(attributes=1.0, attribute_weights="learned"),
        augmentation=Augmentation(crop_scale=0.5, flip=0.5),
        select_by="accuracy",
    )
