"""A network that names what it sees and predicts emotions by it: attributes -> emotions, and a residual.

Data: the six attributes of EmoSet-118K (Yang et al., ICCV 2023). Its authors gain 2 to 3 points by them with
    ImageNet's weights (table 4: ResNet-50 from 74.04 to 76.60 %).
Source: a student project at the University of Porto, 2023, fed annotated attributes to its classifier,
    through four BERTs. A user's picture has none, and it was dropped. Here the network predicts them.
Concepts: Koh et al., "Concept Bottleneck Models", ICML 2020; with a residual: Yuksekgonul et al., "Post-hoc
    Concept Bottleneck Models", ICLR 2023.

    features = backbone(images)                                   (B, D)
    p        = probabilities of all words, linear in features     (B, V)
    emotions = bias + p weight^T + residual, linear in features   (B, E)

An answer is a sum, so each word's part of it can be read off. Four things decide whether that means anything:

A picture is compared with the usual one. `usual_words` is the mean of p over the pictures seen in training,
and `explain` returns what a picture's words add to the answer for those means. The probabilities of an
attribute with one word sum to 1, so a number added to an emotion's weights of all its words holds for every
picture alike: it is one more bias. Parts are therefore counted from the usual weight, p_w (weight_w - sum_v
usual_v weight_v): there such a number cancels, and a word that is not seen has no part. With several words
it is (p_w - usual_w) weight_w.

The residual must not do the words' work, as it could: it sees all features. In training it is left out for a
share `residual_dropout` of the pictures, whose loss the words have to make small by themselves. Making it
narrow would not help: it has E outputs, and a matrix of rank E holds all that a linear one can.

Words must keep their meaning. A head that learns from emotions too may hide in its probabilities what
distinguishes emotions but is not what the word means (Mahinpei et al., "Promises and Pitfalls of Black-Box
Concept Learning Models", 2021). With `detach` the heads learn from annotators alone.

And the words' share has to be measured: the card states how often they are right alone
(`evaluation.attributes`).

Letters: B images, D features, E emotions, W words of one attribute, V words of all.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.models import backbones
from affectlens.models.capabilities import AttributeAnswers, AttributeExplanation

CONCEPTS = ("none", "residual", "only")
SLOWEST = 0.01  # of the running mean: it remembers the last hundred batches


@dataclass(frozen=True, kw_only=True)
class AttributesConfig:
    """What the network is made of. Raises `SettingsError` for what cannot be.

    Attributes:
        attributes: for each attribute by name `{"words": W, "several": bool}`, as the data set has them
        concepts: `none`, emotions from features, attributes next to them; `residual`, from both; `only`, from
            attributes alone
        residual_dropout: share of pictures in training whose residual is left out
        detach: attributes learn from attributes alone, and emotions reach the backbone by the residual
        weigh_tasks: has a log-variance for each attribute, for `losses.uncertainty_weighted` to learn
        drop_path: in the backbone, where it has such a thing; `dropout` is of the features
    """

    num_emotions: int
    attributes: Mapping[str, Mapping[str, Any]] | None = None
    backbone: str = "vit_base_patch16_224.augreg_in21k"
    weights: str = backbones.NONE
    concepts: str = "residual"
    residual_dropout: float = 0.5
    detach: bool = False
    weigh_tasks: bool = False
    drop_path: float = 0.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.concepts not in CONCEPTS:
            raise SettingsError(f"concepts must be one of {', '.join(CONCEPTS)}, not {self.concepts!r}.")
        for name in ("residual_dropout", "dropout", "drop_path"):
            if not 0 <= getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 0 and below 1, not {getattr(self, name)}.")
        if not self.attributes:
            raise SettingsError(
                "This network answers attributes, and none are given. Train it on a data set that has some, "
                'as emoset, or build it with attributes={"scene": {"words": 254, "several": False}, ...}.'
            )
        for name, size in self.attributes.items():
            if not _is_size(size):
                raise SettingsError(
                    f'The attribute {name} must be given as {{"words": 254, "several": False}}, '
                    f"not as {size!r}."
                )


def _is_size(size: Any) -> bool:
    right_names = isinstance(size, Mapping) and set(size) == {"words", "several"}
    return right_names and type(size["words"]) is int and size["words"] > 0 and type(size["several"]) is bool


class AttributesNetwork(nn.Module):
    """Images to logits of emotions: (B, 3, H, W) -> (B, E).

    Attributes:
        words: W of each attribute by name, in the order of names
        several: names of those of which a picture may have several words
        task_log_variances: one for each attribute, in the order of `words`; None without `weigh_tasks`. It
            begins where guessing would bring it.
    """

    task_log_variances: nn.Parameter | None
    usual_words: Tensor
    usual_residual: Tensor
    batches_seen: Tensor

    def __init__(self, config: AttributesConfig) -> None:
        super().__init__()
        assert config.attributes  # the config's own check
        self.residual_dropout = config.residual_dropout
        self.detach = config.detach
        # By name, whatever order the mapping has: files of settings and cards may be written in another.
        sizes = dict(sorted(config.attributes.items()))
        self.words = {name: int(size["words"]) for name, size in sizes.items()}
        self.several = frozenset(name for name, size in sizes.items() if size["several"])
        options = {"drop_path_rate": config.drop_path} if config.drop_path else {}
        try:
            self.backbone = backbones.pooled(config.backbone, weights=config.weights, **options)
        except TypeError as error:
            raise SettingsError(f"The backbone {config.backbone} has no option for this: {error}.") from None
        features: int = getattr(self.backbone, "head_hidden_size", self.backbone.num_features)  # type: ignore[arg-type]
        self.dropout = nn.Dropout(config.dropout)
        self.attributes = nn.Linear(features, sum(self.words.values()))
        self.emotions = None
        if config.concepts != "none":
            gain = max(1.0, features / len(self.words))
            self.emotions = ConceptHead(config.num_emotions, sum(self.words.values()), gain)
        self.residual = None
        if config.concepts != "only":
            # Without words there is no other bias.
            self.residual = nn.Linear(features, config.num_emotions, bias=config.concepts == "none")
        self.register_buffer("usual_words", torch.zeros(sum(self.words.values())))
        self.register_buffer("usual_residual", torch.zeros(config.num_emotions))
        self.register_buffer("batches_seen", torch.zeros((), dtype=torch.int64))
        start = torch.tensor([math.log(2 * math.log(max(2, count))) for count in self.words.values()])
        self.task_log_variances = nn.Parameter(start) if config.weigh_tasks else None
        self._start_new_layers()

    def forward(self, images: Tensor) -> Tensor:
        features = self._features(images)
        return self._logits(self.attributes(features).float(), features)

    def with_attributes(self, images: Tensor) -> AttributeAnswers:
        """Emotions and attributes, for a loss over both."""
        features = self._features(images)
        words = self.attributes(features).float()
        return AttributeAnswers(self._logits(words, features), self._by_name(words))

    def explain(self, images: Tensor) -> AttributeExplanation:
        """What each word adds to each emotion, against the usual picture. For networks in evaluation mode."""
        features = self._features(images)
        words = self.attributes(features).float()
        logits = self._logits(words, features)
        residual = self._residual(features) - self.usual_residual
        contributions, usual = {}, self.usual_residual
        usual_words = self._by_name(self.usual_words)
        if self.emotions is not None:
            weights = self._by_name(self.emotions.weight)
            contributions = {
                name: self._contributions(name, p, weights[name], usual_words[name])
                for name, p in self._by_name(self._probabilities(words)).items()
            }
            usual = usual + self.emotions(self.usual_words[None])[0]
        return AttributeExplanation(
            logits, self._by_name(words), contributions, residual, usual, usual_words, self.usual_residual
        )

    def attribute_log_variances(self) -> dict[str, Tensor]:
        """By name, what `weigh_tasks` learns; empty without."""
        if self.task_log_variances is None:
            return {}
        return dict(zip(self.words, self.task_log_variances, strict=True))

    def _features(self, images: Tensor) -> Tensor:
        features: Tensor = self.dropout(self.backbone(images))
        return features

    def _logits(self, words: Tensor, features: Tensor) -> Tensor:
        """(B, V) logits of words and (B, D) features -> (B, E)."""
        residual = self._residual(features)
        probabilities = self._probabilities(words)
        if self.training:
            self._remember(probabilities.detach(), residual.detach())
        if self.emotions is None:
            return residual
        if self.training and self.residual_dropout:
            draws = torch.rand(residual.shape[0], 1, device=residual.device)
            residual = residual * (draws >= self.residual_dropout)
        emotions: Tensor = self.emotions(probabilities.detach() if self.detach else probabilities)
        return emotions + residual

    def _residual(self, features: Tensor) -> Tensor:
        if self.residual is None:
            return self.usual_residual.new_zeros(features.shape[0], len(self.usual_residual))
        residual: Tensor = self.residual(features)
        return residual.float()

    def _probabilities(self, words: Tensor) -> Tensor:
        """(B, V) -> (B, V): of one word a softmax within its attribute, of several a sigmoid each."""
        parts = self._by_name(words).items()
        return torch.cat(
            [part.sigmoid() if name in self.several else part.softmax(dim=-1) for name, part in parts], dim=-1
        )

    def _contributions(self, name: str, p: Tensor, weight: Tensor, usual: Tensor) -> Tensor:
        """(B, W) probabilities, (E, W) weights, (W,) usual probabilities -> (B, E, W)."""
        if name in self.several:
            return (p - usual)[:, None, :] * weight
        return p[:, None, :] * (weight - (weight * usual).sum(dim=1, keepdim=True))

    def _by_name(self, words: Tensor) -> dict[str, Tensor]:
        """(..., V) -> (..., W) each."""
        return dict(zip(self.words, torch.split(words, list(self.words.values()), dim=-1), strict=True))

    def _remember(self, probabilities: Tensor, residual: Tensor) -> None:
        """Take a batch into the running means; at first they are the mean of all."""
        rate = torch.reciprocal(self.batches_seen + 1.0).clamp_min(SLOWEST)
        self.usual_words.lerp_(probabilities.mean(dim=0), rate)
        self.usual_residual.lerp_(residual.mean(dim=0), rate)
        self.batches_seen += 1

    def _start_new_layers(self) -> None:
        """Begin near zero, as `backbones.classifier` does, and with one word in all where several may be.

        At even odds for each of 409 objects, the loss would at first be about nothing but their rarity
        (Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, section 4.1).
        """
        for layer in (self.attributes, self.residual):
            if layer is not None:
                nn.init.normal_(layer.weight, std=0.01)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        with torch.no_grad():
            for name, bias in self._by_name(self.attributes.bias).items():
                if name in self.several:
                    bias.fill_(-math.log(max(1, len(bias) - 1)))
            self.usual_words.copy_(self._probabilities(self.attributes.bias))


class ConceptHead(nn.Module):
    """Emotions from what is seen, linear, always in float32: probabilities (B, V) -> (B, E).

    Not `nn.Linear`, which autocast would narrow: the parts of a sum should add up to it.

    Its weights are `gain` times a parameter. Adam's steps are all of one size, and a picture has D features
    but hardly more words than there are attributes: with a gain of 1 the residual would be there long before,
    and the words idle though they are informative.
    """

    def __init__(self, num_emotions: int, num_words: int, gain: float) -> None:
        super().__init__()
        self.gain = gain
        self.scaled = nn.Parameter(torch.randn(num_emotions, num_words) * 0.01 / gain)
        self.bias = nn.Parameter(torch.zeros(num_emotions))

    @property
    def weight(self) -> Tensor:
        """(E, V): what a word that is certainly there adds."""
        return self.scaled * self.gain

    def forward(self, probabilities: Tensor) -> Tensor:
        return (probabilities[:, None, :] * self.weight).sum(dim=2) + self.bias
