"""AffectLens: which emotions a picture evokes in the people who look at it.

It predicts what a picture evokes on average; it does not read any person's feelings.

    from affectlens import Predictor
    emotions = Predictor.load()("beach.jpg")
    emotions.top, emotions["awe"], emotions.polarity
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from affectlens.version import VERSION

if TYPE_CHECKING:
    from affectlens.adaptation.calibrate import calibrate
    from affectlens.adaptation.estimator import Embedding
    from affectlens.adaptation.job import finetune
    from affectlens.emotions import MIKELS, EmotionDistribution, Vocabulary
    from affectlens.errors import AffectLensError, PictureError
    from affectlens.explain.core.heatmap import Heatmap
    from affectlens.explain.explainer import Explainer, Explanation
    from affectlens.inference.predictor import Prediction, Predictor
    from affectlens.ratings import Rating

__version__ = VERSION

__all__ = [
    "MIKELS",
    "AffectLensError",
    "Embedding",
    "EmotionDistribution",
    "Explainer",
    "Explanation",
    "Heatmap",
    "PictureError",
    "Prediction",
    "Predictor",
    "Rating",
    "Vocabulary",
    "__version__",
    "calibrate",
    "finetune",
]

# Name: its module, imported when the name is first used, so that `import affectlens` need not load torch.
_MODULES = {
    "MIKELS": "emotions",
    "AffectLensError": "errors",
    "Embedding": "adaptation.estimator",
    "EmotionDistribution": "emotions",
    "Explainer": "explain.explainer",
    "Explanation": "explain.explainer",
    "Heatmap": "explain.core.heatmap",
    "PictureError": "errors",
    "Prediction": "inference.predictor",
    "Predictor": "inference.predictor",
    "Rating": "ratings",
    "Vocabulary": "emotions",
    "calibrate": "adaptation.calibrate",
    "finetune": "adaptation.job",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'affectlens' has no attribute {name!r}")
    value = getattr(import_module(f"affectlens.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
