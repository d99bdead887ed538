"""Losses that several papers share. Pure functions of tensors; what weighs them is in `training.settings`.

Letters: B pictures, E emotions, D features, W words of an attribute, R ratings.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


def class_weights(frequency: Tensor, power: float = 1.0, floor: float = 1e-6) -> Tensor:
    """Weigh rare emotions more: frequencies (E,) that sum to 1 -> weights (E,), mean 1 over the pictures.

    w_c = f_c^-power, scaled. With power 1 it is N / (E n_c), MLM's alpha but for its scale: the authors
    print alpha_c = (1 / n_c) / sum_j (1 / n_j), of mean 0.09 on FI, which makes every step eleven times
    smaller. An emotion rarer than `floor`, as one without pictures, is weighed as if it were that frequent.

    >>> class_weights(torch.tensor([0.75, 0.25]))
    tensor([0.6667, 2.0000])
    """
    raw = frequency.clamp_min(floor) ** -power
    return raw / (raw * frequency).sum()


def of_other_polarity(logits: Tensor, targets: Tensor, signs: Tensor) -> Tensor:
    """Whether the likeliest emotion has the other polarity than the target's: (B, E) both -> (B,), 0 or 1.

    `signs` (E,) is 1 for positive emotions, -1 for negative ones, and 0 for others, which are of neither. It
    weighs pictures in the polarity-consistent cross-entropy of PDANet (Zhao et al., ACM MM 2019), as VAANet
    has it (Zhao et al., AAAI 2020).

    >>> logits, targets = torch.tensor([[2.0, 1.0], [1.0, 2.0]]), torch.eye(2)[[0, 0]]
    >>> of_other_polarity(logits, targets, torch.tensor([1.0, -1.0]))
    tensor([0., 1.])
    """
    product = signs[logits.argmax(dim=1)] * signs[targets.argmax(dim=1)]
    return (product < 0).float()


def class_imbalance_loss(
    logits: Tensor, targets: Tensor, weights: Tensor, focal_gamma: float = 1.0, double_softmax: bool = False
) -> Tensor:
    """MLM's loss against class imbalance: (B, E) logits and targets, (E,) weights -> (B,).

    L = alpha_y (1 - p_y)^gamma (-log p_y), p the softmax of the logits, alpha the `weights` and gamma
    `focal_gamma` (Zhang et al., 2022, by its script; a focal loss, Lin et al., ICCV 2017). A target of
    several emotions is the mean over them. With weights 1 and gamma 0 it is cross-entropy.

    `double_softmax` is the script's defect: the probabilities are taken for logits once more, so that the
    last factor lies between 1.27 and 2.27 for eight emotions and a picture that is wrong with confidence
    passes almost no gradient. For faithful repetition only.
    """
    log_probabilities = F.log_softmax(logits.float(), dim=1)
    probabilities = log_probabilities.exp()
    if double_softmax:
        log_probabilities = F.log_softmax(probabilities, dim=1)
    each = _imbalance_factors(probabilities, weights, focal_gamma) * -log_probabilities
    return (targets * each).sum(dim=1)


def class_imbalance_weights(
    logits: Tensor, targets: Tensor, weights: Tensor, focal_gamma: float = 1.0
) -> Tensor:
    """What MLM's loss weighs the pictures of each emotion by, on average: (B, E), (B, E), (E,) -> (E,).

    The mean of alpha_y (1 - p_y)^gamma of `class_imbalance_loss`; a picture of several emotions counts for
    each by its target. NaN for an emotion without pictures.

    >>> class_imbalance_weights(torch.zeros(2, 2), torch.eye(2), torch.tensor([0.5, 3.0]))
    tensor([0.2500, 1.5000])
    """
    factors = _imbalance_factors(F.softmax(logits.float(), dim=1), weights, focal_gamma)
    return (targets * factors).sum(dim=0) / targets.sum(dim=0)


def _imbalance_factors(probabilities: Tensor, weights: Tensor, focal_gamma: float) -> Tensor:
    """alpha (1 - p)^gamma of each emotion: (B, E)."""
    return weights * (1 - probabilities).clamp_min(0) ** focal_gamma


class Similarity(NamedTuple):
    """The similarity loss of a batch, and whether it had pairs of both kinds (else it is 0)."""

    loss: Tensor
    has_pairs: bool


def emotion_similarity(
    embedding: Tensor, labels: Tensor, margin: float = 0.25, scale: float = 80.0
) -> Similarity:
    """MAM's emotion similarity loss: (B, D) features of any length, (B,) labels -> a scalar, at least 0.

    The circle loss (Sun et al., CVPR 2020), for features brought to length 1, s = f_i . f_j over all pairs
    i < j, s_p of equal and s_n of different labels, m the margin, g the scale:

        a_p = [1 + m - s_p]_+      a_n = [s_n + m]_+       (no gradient through these)
        L = softplus( logsumexp_n g a_n (s_n - m) + logsumexp_p -g a_p (s_p - 1 + m) ) / g

    Divided by g, as the authors' script does not: there it is 100 to 340 at first, and drowns a
    cross-entropy of 2. A batch in which no two labels are equal, or none differ, gives 0 and no gradient.
    Always in float32: times 80, the rounding of bfloat16 is all that would be left.
    """
    if torch.is_autocast_enabled(embedding.device.type):
        with torch.autocast(embedding.device.type, enabled=False):
            return emotion_similarity(embedding, labels, margin, scale)
    features = F.normalize(embedding.float(), dim=1)
    similarity = features @ features.T
    equal = labels[:, None] == labels[None, :]
    once = torch.ones_like(equal).triu(diagonal=1)
    positive, negative = similarity[equal & once], similarity[~equal & once]
    if not len(positive) or not len(negative):
        return Similarity((features * 0.0).sum(), False)
    towards = scale * (1 + margin - positive.detach()).clamp_min(0)
    apart = scale * (negative.detach() + margin).clamp_min(0)
    exponent = torch.logsumexp(apart * (negative - margin), dim=0) + torch.logsumexp(
        -towards * (positive - 1 + margin), dim=0
    )
    return Similarity(F.softplus(exponent) / scale, True)


def rating_loss(shares: Tensor, rated: Tensor, polarity: float = 0.0) -> Tensor:
    """Polarity-consistent squared error of ratings: (B, R) both, as shares of their scales -> a scalar.

    PDANet's loss for regression (Zhao et al., ACM MM 2019), with p predicted and y rated, lambda `polarity`:

        L = mean of (p - y)^2 + lambda * mean of [p and y on other sides of 1/2] (p - y)^2

    Both means are over all ratings that are known, each by itself, so that a picture's valence may be on the
    wrong side and its arousal not. A p or y of 1/2 is on no side. NaN in `rated` is a rating that a picture
    does not have; where all are NaN, loss and gradient are 0.

    >>> rated = torch.tensor([[0.75, 0.25], [0.5, torch.nan]])
    >>> shares = torch.tensor([[0.25, 0.0], [0.25, 0.9]])
    >>> rating_loss(shares, rated).item(), rating_loss(shares, rated, polarity=1.0).item()
    (0.125, 0.2083333283662796)
    """
    known = rated.isfinite()
    rated = torch.where(known, rated, 0.5)
    error = torch.where(known, shares.float() - rated, 0.0)
    wrong = (shares.detach() - 0.5) * (rated - 0.5) < 0
    return (error.square() * (1 + polarity * wrong)).sum() / known.sum().clamp_min(1)


class AttributeLoss(NamedTuple):
    """The loss of an attribute in a batch, and of how many pictures it is known; where of none, it is 0."""

    loss: Tensor
    known: Tensor


def attribute_loss(logits: Tensor, labels: Tensor, positive_weights: Tensor | None = None) -> AttributeLoss:
    """How unlikely the known words of an attribute are, in nats: mean over the pictures that have an answer.

    logits (B, W); labels as `attribute_tensors` of batches gives them. One word, int64 (B,) with -1 where
    it is not known: cross-entropy. Several, float32 (B, W) with rows of -1: binary cross-entropy summed over
    the words, which like the other is the log-likelihood of a picture's whole answer, so that an attribute
    counts as one whatever its number of words. Where a picture has a word, `positive_weights` (W,) scale it.
    """
    logits = logits.float()
    if labels.ndim == 1:
        known = (labels >= 0).sum()
        total = F.cross_entropy(logits, labels, ignore_index=-1, reduction="sum")
        return AttributeLoss(total / known.clamp_min(1), known)
    rows = labels[:, 0] >= 0
    each = F.binary_cross_entropy_with_logits(
        logits, labels.clamp_min(0), pos_weight=positive_weights, reduction="none"
    )
    return AttributeLoss((each.sum(dim=1) * rows).sum() / rows.sum().clamp_min(1), rows.sum())


def positive_weights(frequency: Tensor, power: float) -> Tensor:
    """Weigh pictures that have a rare word more: share of pictures with each word (W,) -> weights (W,).

    ((1 - f) / f) ^ power: with 1, having a word and not having it weigh alike, as if half of the pictures had
    it, and probabilities come out too high in the same measure. A word of no picture has weight 1.

    >>> positive_weights(torch.tensor([0.5, 0.1, 0.0]), power=1.0)
    tensor([1., 9., 1.])
    """
    return torch.where(frequency > 0, ((1 - frequency) / frequency) ** power, 1.0)


def uncertainty_weighted(loss: Tensor, log_variance: Tensor) -> Tensor:
    """Weigh a loss by a variance that is learned with it: exp(-s) L + s / 2, all shapes alike.

    Kendall et al., "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and Semantics",
    CVPR 2018, their form for classification (eq. 10): the likelihood of a softmax of logits / sigma^2, in
    which L has the factor 1 / sigma^2; 1 / (2 sigma^2) is that of a normal distribution. It is least at s =
    log 2 L, where the loss weighs 1 / (2 L): the harder it is to answer, the less it counts, and only by what
    share L falls matters, not in what unit it is counted.
    """
    return torch.exp(-log_variance) * loss + log_variance / 2
