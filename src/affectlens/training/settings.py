"""Everything that decides how a network is trained: a frozen dataclass that is also a TOML file."""

import dataclasses
import math
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tomli_w

from affectlens.errors import SettingsError, UnknownName
from affectlens.preprocess import Preprocessing
from affectlens.training.augment import Augmentation

SELECTION = ("accuracy", "balanced_accuracy", "macro_f1", "mean")
OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "linear", "steps")

_CHOICES = {"select_by": SELECTION, "optimizer": OPTIMIZERS, "schedule": SCHEDULES}

_RANGES: tuple[tuple[tuple[str, ...], Callable[[Any], bool], str], ...] = (
    (
        ("epochs", "batch_size", "accumulate", "learning_rate", "layer_decay", "checkpoint_every"),
        lambda value: value > 0,
        "above 0",
    ),
    (
        ("weight_decay", "clip", "mixup", "cutmix", "class_weight", "balance", "prior_adjustment",
         "low_side", "cache_side", "pictures_per_emotion"),
        lambda value: value >= 0,
        "at least 0",
    ),
    (
        ("warmup", "label_smoothing", "average", "val_share"),
        lambda value: 0 <= value < 1,
        "at least 0 and below 1",
    ),
    (("mix_share", "low_share"), lambda value: 0 <= value <= 1, "between 0 and 1"),
    (("workers",), lambda value: value >= -1, "at least 0, or -1 for one a core"),
    (("new_layers_rate", "step_epochs"), lambda value: value > 0, "above 0"),
    (("momentum",), lambda value: 0 <= value < 1, "at least 0 and below 1"),
    (("step_factor",), lambda value: 0 < value <= 1, "above 0 and at most 1"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What a step makes smaller: a sum of losses, each times a weight; 0 is off.

    Attributes:
        cross_entropy: its weight; `label_smoothing`, `class_weight` and `prior_adjustment` belong to it.
        class_imbalance: weight of MLM's loss against class imbalance (`losses.class_imbalance_loss`).
        focus: its gamma: pictures already judged right count less.
        double_softmax: the defect of the authors' scripts, for faithful repetition only.
        similarity: weight of MAM's emotion similarity loss (`losses.emotion_similarity`).
        similarity_of: what it compares: `embedding`, the fused features, or `logits`.
        margin, scale: its m and gamma.
        attributes: weight of the mean of all attributes' losses (`losses.attribute_loss`), for networks that
            answer attributes. Mixed batches have none: a blend of two pictures shows no one scene.
        attribute_weights: `fixed`, all alike, or `learned`, each by its own uncertainty
            (`losses.uncertainty_weighted`). Emotions, which are the purpose, keep their weight.
        attribute_balance: of attributes with several words, how much more pictures with a rare word weigh
            (`losses.positive_weights`); 0 is off.
    """

    cross_entropy: float = 1.0
    class_imbalance: float = 0.0
    focus: float = 1.0
    double_softmax: bool = False
    similarity: float = 0.0
    similarity_of: Literal["embedding", "logits"] = "embedding"
    margin: float = 0.25
    scale: float = 80.0
    attributes: float = 0.0
    attribute_weights: Literal["fixed", "learned"] = "fixed"
    attribute_balance: float = 0.0

    def __post_init__(self) -> None:
        for name in (
            "cross_entropy", "class_imbalance", "similarity", "focus", "margin", "attributes",
            "attribute_balance",
        ):  # fmt: skip
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise SettingsError(f"loss.{name} must be at least 0, not {getattr(self, name)}.")
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise SettingsError(f"loss.scale must be above 0, not {self.scale}.")
        if not self.cross_entropy and not self.class_imbalance and not self.similarity:
            raise SettingsError("Every loss has weight 0. Set loss.cross_entropy or loss.class_imbalance.")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a network is trained.

    Attributes:
        network: a name from `affectlens models`, or any of timm's.
        network_options: what the network's entry in the catalogue allows.
        weights: where the backbone starts: `hub`, `none`, or a file or folder of safetensors.
        epochs: passes over the training pictures; may be a fraction.
        batch_size: pictures of one forward pass.
        accumulate: forward passes summed into one step of the optimizer.
        optimizer: one of `OPTIMIZERS`. AdamW takes weight decay off the weights; SGD adds it to the
            gradient, so a share of it lives on in the momentum.
        momentum: share of the last step's direction that SGD keeps; 0 is off.
        decay_all: weight decay shrinks biases, norms and tokens too, not only matrices.
        learning_rate: at its peak, before each layer's own share of it.
        layer_decay: each layer further down learns this much slower; 1 is off (Bao et al., BEiT, 2022).
        new_layers_rate: what lies above the backbone, the classifier first of all, learns this many times
            as fast as `learning_rate`.
        warmup: share of all steps in which the rate rises from 0; 0 is off.
        schedule: how it then falls, one of `SCHEDULES`: to 0 as half a cosine or as a straight line, or in
            steps, where every `step_epochs` epochs it is multiplied by `step_factor`.
        loss: which losses, and how much each.
        clip: largest norm of a step's gradient; 0 is off.
        label_smoothing: share of each target that is spread evenly over all emotions.
        mixup, cutmix: parameter of their Beta distribution; 0 is off (Zhang 2018, Yun 2019).
        mix_share: share of batches that are mixed, when either is on.
        average: decay of the running average of weights, which is what is evaluated and kept; 0 is off.
        class_weight: an emotion with n pictures weighs n ** -class_weight in the loss; 0 is off.
        balance: likewise for how often its pictures are drawn (`training.batches.Order`).
        pictures_per_emotion: K of a batch of P emotions with K pictures each, which a loss over pairs needs
            to find pairs; 0 is off.
        prior_adjustment: adds this times the log frequency of each emotion to the logits in the loss
            only, so that the network itself learns to favour none (Menon et al., ICLR 2021); 0 is off.
        low_side, low_share: the first `low_share` of the epochs see pictures of `low_side` pixels a
            side, which is faster; 0 is off. The network must accept several sizes.
        select_by: what the best epoch is best at, on the validation split: one of `SELECTION`;
            mean is that of accuracy and balanced accuracy.
        val_share: share drawn for validation where the data set has no such split.
        checkpoint_every: steps between checkpoints, beside one at each end of an epoch.
        cache_side: pictures are decoded once and kept with this shorter side; 0 decodes each time.
        workers: processes that read and vary pictures; -1 is one a core, at most 8.
    """

    network: str = "deit_tiny"
    network_options: Mapping[str, Any] = field(default_factory=dict)
    weights: str = "hub"
    epochs: float = 10.0
    batch_size: int = 64
    accumulate: int = 1
    optimizer: str = "adamw"
    momentum: float = 0.9
    learning_rate: float = 5e-4
    weight_decay: float = 0.05
    decay_all: bool = False
    layer_decay: float = 0.75
    new_layers_rate: float = 1.0
    warmup: float = 0.1
    schedule: str = "cosine"
    step_epochs: int = 10
    step_factor: float = 0.1
    loss: Loss = field(default_factory=Loss)
    clip: float = 1.0
    label_smoothing: float = 0.1
    mixup: float = 0.0
    cutmix: float = 0.0
    mix_share: float = 0.5
    average: float = 0.0
    class_weight: float = 0.0
    balance: float = 0.0
    pictures_per_emotion: int = 0
    prior_adjustment: float = 0.0
    low_side: int = 0
    low_share: float = 0.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    select_by: str = "mean"
    val_share: float = 0.15
    checkpoint_every: int = 200
    cache_side: int = 0
    workers: int = -1
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for each in dataclasses.fields(self):
            value = getattr(self, each.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise SettingsError(f"{each.name} must be a finite number, not {value}.")
        for names, possible, expected in _RANGES:
            for name in names:
                if not possible(getattr(self, name)):
                    raise SettingsError(f"{name} must be {expected}, not {getattr(self, name)}.")
        if self.pictures_per_emotion and (self.balance or self.batch_size % self.pictures_per_emotion):
            raise SettingsError(
                f"pictures_per_emotion={self.pictures_per_emotion} needs balance=0 and a batch_size that it "
                f"divides, not balance={self.balance} and batch_size={self.batch_size}."
            )
        self._require_whole_pictures()
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise SettingsError(str(UnknownName("value", getattr(self, name), known, name)))

    def _require_whole_pictures(self) -> None:
        if not self.mixup and not self.cutmix:
            return
        if self.loss.similarity:
            raise SettingsError("loss.similarity compares whole pictures: set mixup=0 and cutmix=0.")
        if self.loss.attributes and self.mix_share == 1:
            raise SettingsError(
                "Mixed pictures teach no attributes. Set mix_share below 1, or loss.attributes=0."
            )

    @property
    def mixes(self) -> bool:
        """Whether any batch has pictures mixed with one another."""
        return bool(self.mixup or self.cutmix) and self.mix_share > 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that `from_dict` and TOML take."""
        plain: dict[str, Any] = _plain(dataclasses.asdict(self))
        return plain

    def to_toml(self) -> str:
        """Return the text of a settings file."""
        return tomli_w.dumps(self.to_dict())

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Settings":
        """Check names and types. Raises `SettingsError` or `UnknownName` for a misspelt setting."""
        made = _build(cls, values, "")
        assert isinstance(made, Settings)
        return made


def read_settings(file: Path, base: Settings) -> Settings:
    """Change `base` by what a TOML file sets. Raises `SettingsError`, `UnknownName`."""
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"The settings file {file} cannot be read: {error}.") from None
    return Settings.from_dict(_merged(base.to_dict(), values))


def override(base: Settings, assignments: Iterable[str]) -> Settings:
    """Change `base` by assignments `key=value`; a dot reaches inside.

    >>> override(Settings(), ["epochs=3", "augmentation.flip=0"]).augmentation.flip
    0.0
    """
    values = base.to_dict()
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator:
            raise SettingsError(f"{assignment!r} sets nothing. Write key=value, as in epochs=5.")
        change: Any = _value(text.strip())
        for part in reversed(key.strip().split(".")):
            change = {part: change}
        values = _merged(values, change)
    return Settings.from_dict(values)


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text  # a bare word


def _merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in change.items():
        inner = merged.get(key)
        both = isinstance(inner, dict) and isinstance(value, dict)
        merged[key] = _merged(inner, value) if both else value  # type: ignore[arg-type]
    return merged


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _build(kind: type, values: Mapping[str, Any], prefix: str) -> Any:
    hints = typing.get_type_hints(kind)
    names = [f.name for f in dataclasses.fields(kind)]
    for name in values:
        if name not in names:
            raise UnknownName("setting", prefix + name, [prefix + n for n in names], "a training run")
    return kind(**{name: _checked(hints[name], value, prefix + name) for name, value in values.items()})


def _checked(hint: Any, value: Any, name: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapping):
            raise SettingsError(f"{name} is a group of settings; set {name}.SOMETHING.")
        return _build(hint, value, f"{name}.")
    origin = typing.get_origin(hint)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_checked(typing.get_args(hint)[0], v, name) for v in value)
    if origin is typing.Literal:
        if value not in typing.get_args(hint):
            raise SettingsError(str(UnknownName("value", str(value), typing.get_args(hint), name)))
        return value
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise SettingsError(f"{name} is a group of settings; set {name}.SOMETHING.")
        return dict(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    wanted = hint if isinstance(hint, type | types.UnionType) else object
    if not isinstance(value, wanted) or (isinstance(value, bool) and hint is not bool):
        raise SettingsError(f"{name} must be of type {getattr(hint, '__name__', hint)}, not {value!r}.")
    return value
