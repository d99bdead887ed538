"""A model by an engine's answers alone: for all methods that need neither gradients nor the network's inside.

Letters: B pictures, h x w pixels of the network's input, E emotions.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from affectlens.emotions import Vocabulary
from affectlens.explain.core.attribution import ClassMaps
from affectlens.explain.core.question import ImageAnswers
from affectlens.images import Pixels
from affectlens.inference.attribute_evidence import evidence_of
from affectlens.inference.engine import Answers, Engine, Out, in_batches
from affectlens.inference.output.rows import made_by
from affectlens.inference.unusual import UsualPictures
from affectlens.metrics import Doubles
from affectlens.model_folder import GRAPH_CLASS_MAPS, GRAPH_GRADIENT_MAPS, GRAPH_LOGITS
from affectlens.preprocess import Images, Preprocessing
from affectlens.ratings import RatingScale


@dataclass(frozen=True)
class EngineModel:
    """An `ExplainedModel` in any engine: ONNX Runtime, OpenVINO or torch."""

    engine: Engine
    _last_maps: dict[bytes, ClassMaps] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        """As its card has it."""
        return self.engine.card.name

    @property
    def vocabulary(self) -> Vocabulary:
        """The emotions that it knows."""
        return self.engine.card.vocabulary

    @property
    def preprocessing(self) -> Preprocessing:
        """How pictures are fitted to it."""
        return self.engine.card.preprocessing

    @property
    def ratings(self) -> tuple[RatingScale, ...]:
        """Scales of its ratings; none of most models."""
        return self.engine.card.ratings

    @property
    def marks_unusual(self) -> bool:
        """Whether its card has a score of unusual pictures."""
        return bool(self.engine.card.unusual)

    def is_unusual(self, image: Images) -> bool | None:
        """Whether a normalised image is unusual; see the protocol."""
        embedding = self.engine.answer_images(image).embedding if self.marks_unusual else None
        if embedding is None:
            return None
        return bool(UsualPictures.from_tensors(self.engine.heads).is_unusual(embedding)[0])

    @property
    def has_class_maps(self) -> bool:
        """Whether the engine's graph returns class maps."""
        return GRAPH_CLASS_MAPS in self.engine.outputs

    def class_maps(self, images: Images) -> ClassMaps:
        """What cells and patches add to calibrated logits; see the protocol."""
        key = hashlib.blake2b(images.tobytes()).digest()
        if key not in self._last_maps:
            wanted = (GRAPH_LOGITS, GRAPH_CLASS_MAPS, GRAPH_GRADIENT_MAPS)
            names = [name for name in wanted if name in self.engine.outputs]
            found = self.engine.read_outputs(images, names)
            # Questions about one picture come one after another.
            self._last_maps.clear()
            self._last_maps[key] = ClassMaps(*(each / self.engine.card.temperature for each in found))
        return self._last_maps[key]

    def attribute_evidence(self, pixels: Pixels) -> dict[str, Any] | None:
        """Attributes of one picture, and which of them speak for its first emotion; see the protocol."""
        card = self.engine.card
        if not card.attributes or not self.engine.explains:
            return None
        return evidence_of(self.engine.explain(pixels)[1], card.attributes, card.vocabulary)[0]

    def made_by(self) -> dict[str, str | None]:
        """What answers; see the protocol."""
        card = self.engine.card
        return made_by(card.name, card.weights_id, self.engine.name, self.engine.precision)

    def predict_images(self, images: Images) -> Doubles:
        """Calibrated probabilities, in batches that the engine runs side by side: (B, 3, h, w) -> (B, E)."""
        return np.concatenate(self._run(self.engine.predict_images, images)).astype(np.float64)

    def answer_images(self, images: Images) -> ImageAnswers:
        """Probabilities and ratings in one run, in such batches: (B, 3, h, w) -> B answers."""
        return ImageAnswers.joined([*map(_in_float64, self._run(self.engine.answer_images, images))])

    def _run(self, predict: Callable[[Images], Out], images: Images) -> list[Out]:
        engine = self.engine
        parts = in_batches(images, engine.at_once(len(images)))
        run = engine.map if len(parts) > 1 else map  # one batch gets all cores
        return list(run(predict, parts))


def _in_float64(answers: Answers) -> ImageAnswers:
    count = len(answers.probabilities)
    ratings = np.zeros((count, 0)) if answers.ratings is None else answers.ratings
    return ImageAnswers(answers.probabilities.astype(np.float64), ratings.astype(np.float64))
