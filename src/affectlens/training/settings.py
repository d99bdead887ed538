"""Everything that decides how a network is trained: a frozen dataclass that is also a TOML file."""

import dataclasses
import math
import tomllib
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, Literal

import msgspec
import tomli_w

from affectlens.data.rated_table import SCALE, ScaleEnds, rating_scales
from affectlens.data.vocabularies import is_file_name
from affectlens.errors import SettingsError, UnknownName
from affectlens.files import is_pipe_or_device, read_file
from affectlens.former_keys import FORMAT_VERSION, current_settings
from affectlens.preprocess import LARGEST_SIDE, PreprocessingSettings
from affectlens.training.augment import Augmentation

LAST_EPOCH = "last"
RATINGS_R, RATINGS_RMSE = "ratings_r", "ratings_rmse"
SELECTION = (
    "accuracy", "balanced_accuracy", "macro_f1", "mean", "likelihood", RATINGS_R, RATINGS_RMSE, LAST_EPOCH
)  # fmt: skip
OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "linear", "steps")

_CHOICES = {"select_by": SELECTION, "optimizer": OPTIMIZERS, "schedule": SCHEDULES}

# No whole number above it means anything, and arithmetic with some thousand digits ends in a traceback.
_LARGEST = 1_000_000_000

_Range = tuple[tuple[str, ...], Callable[[Any], bool], str]
_RANGES: tuple[_Range, ...] = (
    (
        ("epochs", "batch_size", "grad_accum_steps", "lr", "layer_decay", "checkpoint_every",
         "head_lr_scale", "step_epochs", "distillation_temperature"),
        lambda value: value > 0,
        "above 0",
    ),
    (
        ("weight_decay", "clip_grad", "mixup", "cutmix", "class_weight", "balanced_sampling",
         "logit_adjustment", "pictures_per_emotion", "frozen_epochs", "patience"),
        lambda value: value >= 0,
        "at least 0",
    ),
    (
        ("warmup", "label_smoothing", "ema_decay", "val_fraction", "momentum"),
        lambda value: 0 <= value < 1,
        "at least 0 and below 1",
    ),
    (
        ("low_res_size", "cache_side"),
        lambda value: 0 <= value <= LARGEST_SIDE,
        f"between 0 and {LARGEST_SIDE:,}",
    ),
    (
        ("mix_prob", "low_res_fraction", "patch_dropout_fraction", "distillation"),
        lambda value: 0 <= value <= 1,
        "between 0 and 1",
    ),
    (("num_workers",), lambda value: -1 <= value <= 256, "0 to 256, or -1 for one a core"),
    (("seed",), lambda value: 0 <= value < 2**63, "at least 0 and below 2 ** 63"),
    (("step_factor",), lambda value: 0 < value <= 1, "above 0 and at most 1"),
    # An empty path would be the folder that one works in.
    (("weights",), lambda value: bool(value.strip()), "hub, none, or a file or folder of safetensors"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What a step minimises: a sum of losses, each times a weight; 0 is off.

    Attributes:
        cross_entropy: its weight; `label_smoothing`, `class_weight` and `logit_adjustment` belong to it.
        polarity: lambda of the polarity-consistent cross-entropy: a picture whose likeliest emotion has the
            other polarity than its target's counts 1 + lambda times (`losses.of_other_polarity`); 0 is off.
        class_imbalance: weight of MLM's loss against class imbalance (`losses.class_imbalance_loss`).
        focal_gamma: its gamma: pictures that are already predicted right count less.
        double_softmax: the defect of the authors' scripts, for faithful repetition only.
        similarity: weight of MAM's emotion similarity loss (`losses.emotion_similarity`).
        similarity_of: what it compares: `logits`, or `embedding`, the fused features.
        margin, scale: its m and gamma.
        attributes: weight of the mean of all attributes' losses (`losses.attribute_loss`), for networks that
            answer attributes. Mixed batches have none: a blend of two pictures shows no one scene.
        attribute_weights: `fixed`, all alike, or `learned`, each by its own uncertainty
            (`losses.uncertainty_weighted`). Emotions, which are the purpose, keep their weight.
        attribute_balance: of attributes with several words, how much more pictures with a rare word weigh
            (`losses.positive_weights`); 0 is off.
        ratings: weight of the squared error of ratings (`losses.rating_loss`), where `Settings.ratings` names
            some. Mixed batches have none.
        rating_polarity: its lambda: a rating on the wrong side of the middle of its scale counts 1 + lambda
            times; 0 is off.
    """

    cross_entropy: float = 1.0
    polarity: float = 0.0
    class_imbalance: float = 0.0
    focal_gamma: float = 1.0
    double_softmax: bool = False
    similarity: float = 0.0
    similarity_of: Literal["logits", "embedding"] = "logits"
    margin: float = 0.25
    scale: float = 80.0
    attributes: float = 0.0
    attribute_weights: Literal["fixed", "learned"] = "fixed"
    attribute_balance: float = 0.0
    ratings: float = 1.0
    rating_polarity: float = 0.0

    def __post_init__(self) -> None:
        for name in (
            "cross_entropy", "polarity", "class_imbalance", "similarity", "focal_gamma", "margin",
            "attributes", "attribute_balance", "ratings", "rating_polarity",
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
        vocabulary: emotions to learn, by the name of a vocabulary, to which labels are brought: `polarity`
            for positive and negative; or a TOML file with words of their own, which labels are read by; ""
            leaves those of the data.
        ratings: columns of a table that hold ratings to learn, as valence; one with a scale of its own is
            NAME:LOW:HIGH. Where the table has no labels, emotions are positive and negative, by valence.
        rating_scale: ends of the scale of the other ratings.
        network: a name from `affectlens models`, or any of timm's.
        network_options: what the network's entry in the catalogue allows.
        weights: where the backbone starts: `hub`, `none`, or a file or folder of safetensors.
        start: a trained model, by name, folder or name on the hub, whose weights the network starts with
            instead, classifiers too (`training.start`): a model of this network with these options. Images
            come as its card has them, where `preprocessing` leaves it open. "" starts with `weights`.
        epochs: passes over the training pictures; may be a fraction.
        batch_size: pictures of one forward pass.
        grad_accum_steps: forward passes whose gradients are summed into one step of the optimizer.
        optimizer: one of `OPTIMIZERS`. AdamW takes weight decay off the weights; SGD adds it to the
            gradient, so a part of it lives on in the momentum.
        momentum: part of the last step's direction that SGD keeps; 0 is off.
        lr: learning rate at its peak, before each layer's own scale.
        decay_all: weight decay shrinks biases, norms and tokens too, not only matrices.
        layer_decay: each layer further down learns this much slower; 1 is off (Bao et al., BEiT, 2022).
        head_lr_scale: what lies above the backbone, the classifier first of all, learns at this many times
            `lr`.
        frozen_layers: the backbone's layers, from the input up, that do not learn (`training.frozen`): blocks
            of a transformer, stages of a convolutional network; more than it has leave what lies above it.
            Below 0 it is how many last layers of each backbone learn: -1 leaves the last block or stage. Of
            a backbone that is read at several levels (`multilevel`) none does, and what reads it learns.
        frozen: names of weights that do not learn besides these, as patterns of `fnmatch` that are separated
            by commas: `blocks.[0-5].*, *norm*`.
        frozen_epochs: first epochs in which only what lies above the backbone learns.
        warmup: fraction of all steps in which the learning rate rises from 0; 0 is off.
        schedule: how it then falls, one of `SCHEDULES`: to 0 as half a cosine or as a straight line, or in
            steps, where every `step_epochs` epochs it is multiplied by `step_factor`.
        loss: which losses, and how much each.
        clip_grad: largest norm of a step's gradient; 0 is off.
        label_smoothing: part of each target that is spread evenly over all emotions.
        distillation: weight d of teachers' soft answers in each target, (1 - d) label + d soft answer
            (`training.soft_answers`); 0 is off, 1 learns nothing from labels. What follows from targets
            (class weights, the prior of `logit_adjustment`, smoothing) then follows from the mixture.
        distillation_temperature: above 1 makes soft answers softer, as those of teachers that are too sure of
            pictures that they were trained on.
        mixup, cutmix: parameter of their Beta distribution; 0 is off (Zhang 2018, Yun 2019).
        mix_prob: probability that a batch is mixed, when either is on.
        ema_decay: decay of the exponential moving average (EMA) of weights, which is what is evaluated and
            kept; 0 is off.
        class_weight: an emotion with n pictures weighs n ** -class_weight in the loss; 0 is off.
        balanced_sampling: likewise for how often its pictures are sampled (`training.batches.Order`).
        pictures_per_emotion: K of PK sampling, batches of P emotions with K pictures each, which a loss over
            pairs needs to find pairs; 0 is off.
        logit_adjustment: adds this times the log frequency of each emotion to the logits in the loss
            only, so that the network itself learns to favour none (Menon et al., ICLR 2021); 0 is off.
        preprocessing: size of the network's input and how a picture is brought to it; what is not set is as
            the backbone's weights expect it, or as the card of the model to `start` with has it.
        low_res_size, low_res_fraction: the first `low_res_fraction` of the epochs see pictures of
            `low_res_size` pixels a side, which is faster; 0 is off. The network must accept several sizes.
        patch_dropout_fraction: the first part of the epochs in which `network_options.patch_dropout` acts. A
            transformer that sees all patches in its last epochs, as in use, gains by it (Li et al., "Scaling
            Language-Image Pre-training via Masking", CVPR 2023).
        select_by: what the best epoch is best at, on the validation split: one of `SELECTION`;
            mean is that of accuracy and balanced accuracy; likelihood is the mean one of the labels
            (geometric), which differs between epochs also where pictures are few; ratings_r is the highest
            mean correlation of ratings with people's, ratings_rmse the smallest error of theirs; last takes
            the last epoch, so that the scores of the validation split chose nothing.
        patience: epochs without a better score of `select_by` after which training ends; 0 is off.
        val_fraction: part of each emotion that is held out for validation where the data set has no such
            split.
        checkpoint_every: steps between checkpoints; there is one at each end of an epoch as well.
        cache_side: pictures are decoded once and kept with this shorter side; 0 decodes each time.
        num_workers: processes that read and vary pictures; -1 is one a core, at most 8.
    """

    vocabulary: str = ""
    ratings: tuple[str, ...] = ()
    rating_scale: tuple[float, float] = SCALE
    network: str = "deit_tiny"
    network_options: Mapping[str, Any] = field(default_factory=dict)
    weights: str = "hub"
    start: str = ""
    epochs: float = 10.0
    batch_size: int = 64
    grad_accum_steps: int = 1
    optimizer: str = "adamw"
    momentum: float = 0.9
    lr: float = 5e-4
    weight_decay: float = 0.05
    decay_all: bool = False
    layer_decay: float = 0.75
    head_lr_scale: float = 1.0
    frozen_layers: int = 0
    frozen: str = ""
    frozen_epochs: int = 0
    warmup: float = 0.1
    schedule: str = "cosine"
    step_epochs: int = 10
    step_factor: float = 0.1
    loss: Loss = field(default_factory=Loss)
    clip_grad: float = 1.0
    label_smoothing: float = 0.1
    distillation: float = 0.0
    distillation_temperature: float = 1.0
    mixup: float = 0.0
    cutmix: float = 0.0
    mix_prob: float = 0.5
    ema_decay: float = 0.0
    class_weight: float = 0.0
    balanced_sampling: float = 0.0
    pictures_per_emotion: int = 0
    logit_adjustment: float = 0.0
    low_res_size: int = 0
    low_res_fraction: float = 0.0
    patch_dropout_fraction: float = 1.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    preprocessing: PreprocessingSettings = field(default_factory=PreprocessingSettings)
    select_by: str = "mean"
    patience: int = 0
    val_fraction: float = 0.15
    checkpoint_every: int = 200
    cache_side: int = 0
    num_workers: int = -1
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for each in dataclasses.fields(self):
            value = getattr(self, each.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise SettingsError(f"{each.name} must be a finite number, not {value}.")
            if isinstance(value, int) and each.name != "seed" and value > _LARGEST:
                raise SettingsError(f"{each.name} must be at most {_LARGEST:,}.")
        for names, possible, expected in _RANGES:
            for name in names:
                if not possible(getattr(self, name)):
                    raise SettingsError(f"{name} must be {expected}, not {getattr(self, name)!r}.")
        if self.pictures_per_emotion and (
            self.balanced_sampling or self.batch_size % self.pictures_per_emotion
        ):
            raise SettingsError(
                f"pictures_per_emotion={self.pictures_per_emotion} needs balanced_sampling=0 and a "
                f"batch_size that it divides, not balanced_sampling={self.balanced_sampling} and "
                f"batch_size={self.batch_size}."
            )
        self._require_unmixed_pictures()
        self._require_score()
        self._require_ratings()
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise SettingsError(str(UnknownName("value", getattr(self, name), known, name)))

    def _require_score(self) -> None:
        if self.patience and self.select_by == LAST_EPOCH:
            raise SettingsError(
                f"patience={self.patience} waits for a better score, and select_by=last has none. Set "
                "select_by to a score, as mean, or patience=0."
            )

    def _require_ratings(self) -> None:
        _ = self.rating_ends  # an error of ours for names and scales that cannot be
        if self.ratings and not self.loss.ratings:
            raise SettingsError(
                f"ratings={list(self.ratings)} are to be learned, and loss.ratings is 0. Set loss.ratings=1, "
                "or ratings=[]."
            )

    @property
    def rating_ends(self) -> dict[str, ScaleEnds]:
        """The ratings to learn by name, with the ends of the scale that people used."""
        return rating_scales(self.ratings, self.rating_scale)

    def _require_unmixed_pictures(self) -> None:
        if not self.mixup and not self.cutmix:
            return
        if self.loss.similarity:
            raise SettingsError("loss.similarity compares complete pictures: set mixup=0 and cutmix=0.")
        if self.loss.attributes and self.mix_prob == 1:
            raise SettingsError(
                "Mixed pictures teach no attributes. Set mix_prob below 1, or loss.attributes=0."
            )
        if self.ratings and self.mix_prob == 1:
            raise SettingsError("Mixed pictures teach no ratings. Set mix_prob below 1, or ratings=[].")

    @property
    def mixes(self) -> bool:
        """Whether any batch has pictures mixed with one another."""
        return bool(self.mixup or self.cutmix) and self.mix_prob > 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that `from_dict` and TOML take."""
        plain: dict[str, Any] = msgspec.to_builtins(dataclasses.asdict(self))
        # What is left to the weights is left out: TOML has no word for it.
        plain["preprocessing"] = {k: v for k, v in plain["preprocessing"].items() if v is not None}
        return plain

    def to_toml(self) -> str:
        """Return the text of a settings file."""
        return tomli_w.dumps({"format_version": FORMAT_VERSION, **self.to_dict()})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Settings":
        """Check names and types. Raises `SettingsError` or `UnknownName` for a misspelt setting."""
        try:
            _check_names(cls, values, "")
            made = msgspec.convert(dict(values), cls)
            made.to_toml().encode()  # what cannot be written to a run folder is refused before there is one
            return made
        except msgspec.ValidationError as error:
            raise SettingsError(_explained(error)) from None
        except UnicodeEncodeError as error:
            text = error.object[max(0, error.start - 20) : error.end + 10]
            raise SettingsError(
                f"A setting is not UTF-8 text ({error.reason}): {text!r}. Rename what it names."
            ) from None
        except (ValueError, RecursionError) as error:
            # Text with half a surrogate pair, or values nested too deeply.
            raise SettingsError(f"The settings cannot be read: {error}.") from None
        except TypeError as error:
            raise SettingsError(f"A setting is of a type that no settings file has: {error}.") from None


def read_settings(file: Path, base: Settings) -> Settings:
    """Change `base` by what a TOML file sets. Raises `SettingsError`, `UnknownName`.

    Names of settings may be those of format 1 (`former_keys`).
    """
    if is_pipe_or_device(file):
        raise SettingsError(f"The settings file {file} is a pipe or a device. Save it as a file first.")
    try:
        values = tomllib.loads(read_file(file).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"The settings file {file} cannot be read: {error}.") from None
    version = values.pop("format_version", FORMAT_VERSION)
    if version not in range(1, FORMAT_VERSION + 1):
        raise SettingsError(
            f"The settings file {file} is of format {version!r}; this AffectLens reads 1 to {FORMAT_VERSION}."
        )
    return Settings.from_dict(_changed(base.to_dict(), values))


def with_absolute_files(settings: Settings) -> Settings:
    """Name the file of a vocabulary by its absolute path, by which a run goes on from another folder too."""
    if not is_file_name(settings.vocabulary):
        return settings
    file = Path(settings.vocabulary).expanduser().absolute()
    return dataclasses.replace(settings, vocabulary=str(file))


def override(base: Settings, assignments: Iterable[str]) -> Settings:
    """Change `base` by assignments as people type them, `key=value`; a dot reaches inside.

    >>> override(Settings(), ["epochs=3", "augmentation.flip=0"]).augmentation.flip
    0.0
    """
    values = base.to_dict()
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator:
            raise SettingsError(f"{assignment!r} sets nothing. Write key=value, as in epochs=5.")
        values = _changed(values, _nested(key.strip(), _value(text.strip())))
    return Settings.from_dict(values)


def with_values(base: Settings, values: Mapping[str, Any]) -> Settings:
    """Change `base` by values of settings; a dot in a name reaches inside.

    >>> with_values(Settings(), {"lr": 0.1, "augmentation.flip": 0.0}).augmentation.flip
    0.0
    """
    changed = base.to_dict()
    for name, value in values.items():
        changed = _merged(changed, _nested(name, value))
    return Settings.from_dict(changed)


def setting(settings: Settings, name: str) -> Any:
    """Return a setting by its name; a dot reaches inside. 0.0 for an option that is not set."""
    found: Any = settings.to_dict()
    for part in name.split("."):
        found = found.get(part, 0.0)
    return found


def _changed(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Merge a change, whose names may be former ones."""
    try:
        return _merged(base, current_settings(change))
    except RecursionError:
        raise SettingsError("The settings are nested too deeply.") from None


def _nested(name: str, value: Any) -> dict[str, Any]:
    first, *inner = name.split(".")
    for part in reversed(inner):
        value = {part: value}
    return {first: value}


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        # A bare word.
        return text
    except RecursionError:
        raise SettingsError(f"The value {text[:20]}... is nested too deeply.") from None


def _merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in change.items():
        inner = merged.get(key)
        both = isinstance(inner, dict) and isinstance(value, dict)
        merged[key] = _merged(inner, value) if both else value  # type: ignore[arg-type]
    return merged


def _check_names(kind: type, values: Mapping[str, Any], prefix: str) -> None:
    """Raise for names that msgspec would pass over, and for words where only some are known.

    Both with the nearest known name; types are left to msgspec.
    """
    hints = typing.get_type_hints(kind)
    names = [each.name for each in dataclasses.fields(kind)]
    for name, value in values.items():
        if name not in names:
            raise UnknownName("setting", prefix + name, [prefix + n for n in names], "a training run")
        known = _words(hints[name])
        if known and value is not None and value not in known:
            raise SettingsError(str(UnknownName("value", str(value), known, prefix + name)))
        if dataclasses.is_dataclass(hints[name]) and isinstance(value, Mapping):
            _check_names(hints[name], value, f"{prefix}{name}.")


def _words(hint: Any) -> tuple[str, ...]:
    """The words that a type allows, or that and None; () for any other type."""
    if typing.get_origin(hint) in (typing.Union, UnionType):
        return tuple(word for each in typing.get_args(hint) for word in _words(each))
    return typing.get_args(hint) if typing.get_origin(hint) is Literal else ()


def _explained(error: msgspec.ValidationError) -> str:
    r"""Reword msgspec's messages, as "Expected `int`, got `str` - at `$.epochs`"."""
    reason, _, path = str(error).partition(" - at `$.")
    name = path.rstrip("`")
    if reason.startswith("Expected `object`"):
        return f"{name} is a group of settings; set {name}.SOMETHING."
    return f"The setting {name} has a value of another type. {reason.replace('`', '')}."
