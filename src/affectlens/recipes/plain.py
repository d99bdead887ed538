"""Plain fine-tuning: five epochs, crops and mirrors, nothing else. The baseline to beat."""

from affectlens.training.settings import Loss, Settings


def settings(network: str = "deit_tiny", attributes: bool = False) -> Settings:
    """Plain fine-tuning of any network in five epochs: the baseline to beat.

    AdamW at 5e-4 with layer decay 0.75, crops from 0.35, smoothing 0.1. A network that answers `attributes`
    learns them with the weight of emotions.
    """
    return Settings(network=network, epochs=5, loss=Loss(attributes=float(attributes)))
