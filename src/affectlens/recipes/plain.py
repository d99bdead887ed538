"""Plain fine-tuning: five epochs, crops and mirrors, nothing else. The baseline to beat."""

from affectlens.training.settings import Settings


def settings(network: str = "deit_tiny") -> Settings:
    """Plain fine-tuning of any network in five epochs: the baseline to beat.

    AdamW at 5e-4 with layer decay 0.75, crops from 0.35, smoothing 0.1.
    """
    return Settings(network=network, epochs=5)
