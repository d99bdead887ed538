"""How WSCNet is trained: as its authors' notebook does.

affectlens train wscnet --data fi:PATH --out RUN
affectlens train wscnet --set network_options.pooling=mean --set network_options.coupling=mean ...

The second is the notebook's network, the first the paper's.
"""

from affectlens.preprocess import PreprocessingSettings
from affectlens.training.augment import Augmentation
from affectlens.training.settings import Settings


def settings() -> Settings:
    """WSCNet, trained as in its notebook: SGD at 1e-4, a tenth every 7 of 25 epochs, pictures of 448.

    Known to differ: the notebook divides FI in two and has no test split, where here the best epoch is chosen
    on one split and scores are of another. Not known: whether it has weight decay (here none), and to which
    size it resizes a picture before the centre of 448 x 448 is cut out (here its shorter side has 448).
    """
    return Settings(
        network="wscnet",
        epochs=25,
        batch_size=10,
        optimizer="sgd",
        momentum=0.9,
        lr=1e-4,
        weight_decay=0.0,
        layer_decay=1.0,
        warmup=0.0,
        schedule="steps",
        step_epochs=7,
        step_factor=0.1,
        clip_grad=0.0,
        label_smoothing=0.0,
        augmentation=Augmentation(crop_scale=0.08),
        preprocessing=PreprocessingSettings(height=448, width=448, fit="crop", crop_fraction=1.0),
        select_by="accuracy",
    )
