"""What networks can do beyond logits, as protocols: training, explanations and inference name no network.

    if isinstance(network, HasBranches):
        ...

Every protocol has methods alone, because a protocol that is checked at run time does not see the parameters
and buffers of a module. A network has a capability by having its methods; nothing is registered.

Letters: B images, H x W pixels, D features of an embedding or a part, E emotions, W words of one attribute,
L tokens.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn

# Kinds of parts: what they describe.
TEXTURE, CONCEPTS, MEANING = "colour and texture", "concepts", "meaning"


@runtime_checkable
class HasBranches(Protocol):
    """Networks of several branches that are trained as so many classifiers and answer together.

    Branches are in one order throughout.
    """

    def branches(self, images: Tensor) -> Sequence[Tensor]:
        """Return the logits of each branch, (B, E) each, for the losses."""

    def answers(self, images: Tensor) -> Sequence[Tensor]:
        """Return the log-probabilities of each branch, (B, E) each; the answer is their mean."""

    def branch_networks(self) -> Mapping[str, nn.Module]:
        """Return each branch by name as a network of its own, which shares its weights."""

    def scale_branches(self, temperatures: Sequence[float]) -> None:
        """Divide each branch's logits by its temperature, for good, in the weights."""


@runtime_checkable
class HasAuxiliary(Protocol):
    """Networks with classifiers that help in training and are left out in use."""

    def with_auxiliary(self, images: Tensor) -> Sequence[Tensor]:
        """Return logits, (B, E) each: the answer first, then those of the others.

        Losses over emotions are the mean of theirs; no loss over pairs or over attributes goes with them.
        """


class Embedded(NamedTuple):
    """An answer and the features that it was read from: (B, E) and (B, D)."""

    logits: Tensor
    embedding: Tensor


@runtime_checkable
class HasEmbedding(Protocol):
    """Networks that return the features from which a last layer reads the logits."""

    def embed(self, images: Tensor) -> Embedded:
        """Return logits and embedding."""


class AttributeAnswers(NamedTuple):
    """Emotions (B, E), and by name each attribute's words (B, W); all are logits, float32."""

    logits: Tensor
    attributes: dict[str, Tensor]


class AttributeExplanation(NamedTuple):
    """An answer taken apart: logits = usual + all contributions + residual. All float32.

    Attributes:
        logits: (B, E)
        attributes: by name, logits (B, W)
        contributions: by name, (B, E, W): what each word adds for each emotion; empty where emotions are not
            read from attributes
        residual: (B, E), what has no name, less what it usually is
        usual: (E,), the logits of the usual picture
        usual_words: by name, probabilities of its words (W,)
        usual_residual: (E,), what `residual` is measured from; part of `usual`
    """

    logits: Tensor
    attributes: dict[str, Tensor]
    contributions: dict[str, Tensor]
    residual: Tensor
    usual: Tensor
    usual_words: dict[str, Tensor]
    usual_residual: Tensor


@runtime_checkable
class HasAttributes(Protocol):
    """Networks that answer attributes as well as emotions, and explain emotions by them."""

    def with_attributes(self, images: Tensor) -> AttributeAnswers:
        """Return emotions and attributes, for a loss over both."""

    def explain(self, images: Tensor) -> AttributeExplanation:
        """Return what each word adds to each emotion. For networks in evaluation mode."""

    def attribute_log_variances(self) -> Mapping[str, Tensor]:
        """Return by name the log-variance that each attribute's loss learns; empty where none are learned."""


@dataclass(frozen=True)
class Division:
    """A network cut in two: what describes a picture in parts, and what reads an answer from all parts.

    Attributes:
        kinds: what each part describes, by the name of the part
        describe: images (B, 3, H, W) -> by name, parts (B, ...)
        answer: parts -> logits (B, E), before the temperature
        usual: each part of the usual picture, (1, D), where the network remembers it from training
    """

    kinds: Mapping[str, str]
    describe: Callable[[Tensor], dict[str, Tensor]]
    answer: Callable[[Mapping[str, Tensor]], Tensor]
    usual: Mapping[str, Tensor] | None = None


@runtime_checkable
class HasParts(Protocol):
    """Networks that describe a picture in parts, as texture and meaning, and read all together."""

    def divisions(self) -> Sequence[Division]:
        """Return every way to divide the network, the finest last.

        Only the first may know the usual picture.
        """


@runtime_checkable
class ReadsLevels(Protocol):
    """Networks that describe a picture by its maps at several depths, and read that by a perceptron.

    They have the modules `pyramid`, whose output is what `cell_maps` takes, and `standardise`, which all
    features enter, (B, D).
    """

    def feature_gradients(self, features: Tensor) -> Tensor:
        """Gradient of each emotion's logit, less their mean, by each feature: (B, D) -> (B, E, D)."""

    def cell_maps(self, levels: Any, last: Tensor) -> Tensor:
        """What each cell of the last map (B, C, h, w), and of all levels there, adds at first order.

        To each emotion's logit, less their mean, compared with the usual picture: (B, E, h, w). Of a network
        whose pooled features are the mean over the cells of its last map.
        """


@runtime_checkable
class HasTokens(Protocol):
    """Networks that gather the cells of their maps into tokens."""

    def token_maps(self, images: Tensor) -> list[Tensor]:
        """Return where each token looks: (B, L, rows, columns) for each map with tokens, each sums to 1."""

    def token_division(self) -> Division:
        """Divide the network into what its heads read.

        The parts of kind `CONCEPTS` are tokens (B, L, D), in the order of `token_maps`.
        """
