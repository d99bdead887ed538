"""What a network answers when parts of a picture are replaced: used by all methods that perturb pictures.

What replaces a part decides what its loss means. Where its blurred self does, the picture stays plausible,
and colour and rough shape stay with it; where a grey does, colour goes too, but edges come that no photograph
has (Hooker et al., "A Benchmark for Interpretability Methods in Deep Neural Networks", NeurIPS 2019, show how
far such pictures lie from what a network learnt from). So the replacement is always named.

Letters: B perturbed pictures, h x w pixels of the network's input.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from affectlens.errors import SettingsError
from affectlens.explain.core.attribution import ExplainedModel, answer_questions, scores
from affectlens.explain.core.baselines import baselines
from affectlens.explain.core.question import AnyQuestion, ImageAnswers
from affectlens.inference.engine import in_batches
from affectlens.metrics import Doubles
from affectlens.preprocess import Images

BATCH_SIZE = 32
REPLACEMENT = "blurred"  # by default; a name of `baselines.BASELINES`
Masks: TypeAlias = NDArray[np.float32]  # (B, h, w): which share of each pixel is kept, 0 to 1


@dataclass(frozen=True, kw_only=True)
class PerturbationOptions:
    """Options of the methods that perturb a picture; they inherit them.

    Attributes:
        replacement: what covers: `blurred`, the picture's own blurred self; `mean` colour; `black`; `uniform`
        batch_size: pictures in memory at once
        seed: of what is random: the replacement `uniform`, and what a method samples

    Raises `SettingsError` for an empty batch.
    """

    replacement: str = REPLACEMENT
    batch_size: int = BATCH_SIZE
    seed: int = 0

    def __post_init__(self) -> None:
        require("batch_size", self.batch_size, self.batch_size >= 1, "at least 1")

    def perturb(self, model: ExplainedModel, image: Images, *questions: AnyQuestion) -> "Perturbations":
        """Prepare the perturbations of one picture, (1, 3, h, w), for one question or several."""
        return Perturbations(
            model,
            image,
            *questions,
            replacement=self.replacement,
            seed=self.seed,
            batch_size=self.batch_size,
        )


class Perturbations:
    """Scores one picture for its first question again and again, each time with other parts of it replaced.

    Attributes:
        image: the picture, (1, 3, h, w), normalised
        blank: its replacement, of the same shape
    """

    def __init__(
        self,
        model: ExplainedModel,
        image: Images,
        *questions: AnyQuestion,
        replacement: str = REPLACEMENT,
        seed: int = 0,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        """Prepare for one question at least. `seed` is for a replacement that is random.

        Raises `UnknownName` for an unknown replacement, and `SettingsError` for an empty batch.
        """
        require("batch_size", batch_size, batch_size >= 1, "at least 1")
        self.model = model
        self.questions = questions
        self.image = image
        self.blank = baselines(model, image, [replacement], seed)
        self.batch_size = batch_size

    def __call__(self, kept: Masks) -> Doubles:
        """Log-odds or ratings when this share of each pixel is kept: (B, h, w) -> (B,)."""
        return self.questions[0].read(self.answers(kept))

    def answers(self, kept: Masks) -> ImageAnswers:
        """What all questions are about when this share of each pixel is kept: (B, h, w) -> B answers."""
        parts = in_batches(kept, self.batch_size)
        return ImageAnswers.joined(
            [answer_questions(self.model, self.mix(part), self.questions) for part in parts]
        )

    def endpoints(self) -> tuple[float, float]:
        """Log-odds, or ratings, of the whole picture, and of nothing but its replacement."""
        whole, blank = self.score(np.concatenate([self.image, self.blank])).tolist()
        return whole, blank

    def mix(self, kept: Masks) -> Images:
        """Make pictures of which this share of each pixel is kept: (B, h, w) -> (B, 3, h, w)."""
        return self.blank + kept[:, None] * (self.image - self.blank)

    def score(self, images: Images) -> Doubles:
        """Log-odds, or ratings, of pictures, all in one batch: (B, 3, h, w) -> (B,)."""
        return scores(self.model, images, self.questions[0])


def require(name: str, value: object, is_possible: bool, expected: str) -> None:
    """Raise `SettingsError` for an option whose value is impossible."""
    if not is_possible:
        raise SettingsError(f"{name} is {value!r}; expected {expected}.")
