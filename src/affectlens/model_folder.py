"""A trained model on disk: card, weights, readme and graph. The only reader and writer of a model folder.

On disk (the layout of the Hugging Face hub):
    config.json         network, vocabulary (a known one by name and words, another with all that is known of
                        it), preprocessing, temperature, history, licences, hash
    model.safetensors   weights; never a pickle
    README.md           the card for people
    model.onnx          the network as a graph, where there is one: what answers with it needs no torch. Its
                        weights are those of model.safetensors, by their offsets
    heads.safetensors   what reads ratings, and how unusual a picture is, of the network's features, where
                        there is such. Not with the weights: other programs load these, and know no other
                        names

A folder is complete or it is not written, and is read only when its parts fit together. Of networks nothing
is known here: weights are bytes, and `models.saved` builds the network that they are for.

A plain timm network in such a folder also loads with `timm.create_model("local-dir:FOLDER", pretrained=True)`
and with `transformers.pipeline("image-classification", FOLDER)`. These do not apply the temperature, which is
therefore part of the weights where such a network is saved (`models.saved.save_model`).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple, TypeAlias

import msgspec
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from affectlens.attributes import Attribute
from affectlens.emotions import VOCABULARIES, Vocabulary, to_plain, vocabulary_of_plain
from affectlens.errors import AffectLensError, BadModelFolder, ModelNotFound, OutputError, first_line
from affectlens.files import atomic_folder, atomic_write, exists, read_file
from affectlens.former_keys import FORMAT_VERSION, current_settings
from affectlens.preprocess import Preprocessing
from affectlens.ratings import BadRatings, RatingHead, RatingScale
from affectlens.version import VERSION

Heads: TypeAlias = Mapping[str, NDArray[Any]]  # arrays by name, as HEADS stores them

CONFIG, WEIGHTS, README, GRAPH = "config.json", "model.safetensors", "README.md", "model.onnx"
HEADS = "heads.safetensors"
# Images (B, 3, H, W), normalised, float32, become logits (B, E), float32, before the temperature.
GRAPH_INPUT, GRAPH_LOGITS = "images", "logits"
GRAPH_CLASS_MAPS, GRAPH_EMBEDDING = "class_maps", "embedding"  # which not every graph has
GRAPH_MAP_WEIGHTS = (
    "map_weights"  # that class maps are read by; of further maps with `_2` and so on behind it
)
GRAPH_GRADIENT_MAPS = "gradient_maps"  # of one with class maps that has other branches besides
# Of models with ratings: what these are read from, where it is more than the embedding; and one for each
# rating.
GRAPH_FEATURES, GRAPH_RATINGS = "features", "ratings/"
# Outputs of models that answer attributes; those that end in a slash are one for each attribute, by its name.
GRAPH_ATTRIBUTES, GRAPH_CONTRIBUTIONS, GRAPH_USUAL_WORDS = "attributes/", "contributions/", "usual_words/"
GRAPH_RESIDUAL, GRAPH_USUAL, GRAPH_USUAL_RESIDUAL = "residual", "usual", "usual_residual"
OURS, CONFIG_HASH = "affectlens", "config_sha256"
WEIGHTS_ID_DIGITS = 12
CALIBRATED = "calibrated"  # of a card's facts on training: what was fitted anew since, and what was measured
RATED = "rated"  # of the same: ratings that were learned since, from which pictures, and what was measured
MAX_CONFIG_BYTES = 10_000_000  # a config is a few kilobytes; anything like this is not one


@dataclass(frozen=True, kw_only=True)
class Card:
    """What must be known to use a model, and what should be known before trusting it.

    Attributes:
        network, network_options: the catalogue's name and options
        attributes: those that the network answers, with their words in its order
        temperature: logits are divided by it before the softmax (Guo et al., 2017)
        ratings: those that are predicted, with their scales and intervals; `RatingHead` reads them, in this
            order
        feature_layers: paths of layers whose pooled maps are features besides the embedding
        prediction_sets: thresholds for sets of emotions (`inference.coverage.PredictionSets.to_json`)
        unusual: above which score a picture is unlike those that the model was made for, and what was
            measured
        training: how it was trained: settings, data and its hash, counts, seed, seconds, versions
        scores: measured on the validation split (`evaluation.scores.Scores.to_json`)
        licences: of `code`, `weights` and `data`
        limits: sentences for people
        weights_hash: SHA-256 of the weights file, known once the model was saved
        heads_hash: of the file of heads, known once the model was saved; "" of a model without
        version: of the package that wrote the folder, known once the model was saved; "" before 0.2
    """

    name: str
    network: str
    network_options: Mapping[str, Any] = field(default_factory=dict)
    vocabulary: Vocabulary
    preprocessing: Preprocessing
    attributes: tuple[Attribute, ...] = ()
    temperature: float = 1.0
    ratings: tuple[RatingScale, ...] = ()
    feature_layers: tuple[str, ...] = ()
    prediction_sets: Mapping[str, Any] = field(default_factory=dict)
    unusual: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    licences: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[str, ...] = ()
    weights_hash: str = ""
    heads_hash: str = ""
    version: str = ""

    @property
    def answers_hash(self) -> str:
        """SHA-256 of all that decides what the model answers; "" before it was saved.

        The same weights may answer otherwise: at another temperature, with other sets, ratings or heads.
        """
        if not self.weights_hash:
            return ""
        plain = self.to_json()
        deciding = ("network", "network_options", "vocabulary", "preprocessing", "attributes", "temperature",
                    "ratings", "feature_layers", "prediction_sets")  # fmt: skip
        answers = [self.weights_hash, self.heads_hash, bool(self.unusual), *(plain[key] for key in deciding)]
        return _hash_of({"answers": answers})

    @property
    def is_more_than_weights(self) -> bool:
        """Whether it answers by more than trained weights: it was calibrated, or has ratings, sets or a score
        of unusual pictures.
        """
        beyond = (self.ratings, self.prediction_sets, self.unusual)
        return CALIBRATED in self.training or any(map(bool, beyond))

    @property
    def weights_id(self) -> str:
        """The first digits of the weights' hash, by which rows name them; "" before it was saved.

        Of a calibrated model, and of one that learned ratings, they are those of `answers_hash`: it answers
        otherwise by the same weights.
        """
        answers_otherwise = CALIBRATED in self.training or RATED in self.training
        named = self.answers_hash if answers_otherwise else self.weights_hash
        return named[:WEIGHTS_ID_DIGITS]

    def to_json(self) -> dict[str, Any]:
        """Return plain data; the vocabulary as `emotions.to_plain` has it."""
        separate = {
            "vocabulary", "preprocessing", "attributes", "ratings", "weights_hash", "heads_hash", "version"
        }  # fmt: skip
        plain = {key: value for key, value in vars(self).items() if key not in separate}
        return {
            **plain,
            "limits": list(self.limits),
            "vocabulary": to_plain(self.vocabulary),
            "preprocessing": self.preprocessing.to_json(),
            "attributes": [attribute.to_json() for attribute in self.attributes],
            "ratings": [scale.to_json() for scale in self.ratings],
            "feature_layers": list(self.feature_layers),
        }


class StoredModel(NamedTuple):
    """What a model folder holds: its card, its weights as the bytes of a safetensors file, and its heads."""

    card: Card
    weights: bytes
    heads: Heads = MappingProxyType({})


class _StoredWeights(msgspec.Struct):
    sha256: str
    bytes: int
    dtype: str = ""


class _StoredFile(msgspec.Struct):
    sha256: str


class _StoredCard(msgspec.Struct, kw_only=True):
    """What `config.json` holds under "affectlens"; `Card` explains it."""

    name: str
    network: str
    network_options: dict[str, Any]
    vocabulary: dict[str, Any]
    preprocessing: dict[str, Any]
    attributes: list[Any] = []  # older cards have none
    temperature: Annotated[float, msgspec.Meta(ge=0.01, le=100)]
    ratings: list[dict[str, Any]] = []  # older cards have none of these
    feature_layers: list[str] = []
    prediction_sets: dict[str, Any] = {}
    unusual: dict[str, Any] = {}
    training: dict[str, Any]
    scores: dict[str, Any]
    licences: dict[str, str]
    limits: list[str]
    weights: _StoredWeights
    graph: _StoredFile | None = None
    heads: _StoredFile | None = None
    version: str = ""  # cards before 0.2 have none


def read_model(folder: Path) -> StoredModel:
    """Read a model folder completely and check all that can be checked without its network.

    Raises `ModelNotFound` or `BadModelFolder` with what is wrong.
    """
    stored, card = _read_card(folder)
    return StoredModel(card, _read_weights(folder, stored.weights), _read_heads(folder, stored, card))


def read_heads(folder: Path) -> Heads:
    """Read what a model folder's ratings and its score of unusual pictures are computed by; empty for none.

    Raises `ModelNotFound` or `BadModelFolder`.
    """
    return _read_heads(folder, *_read_card(folder))


def read_graph(folder: Path) -> Card:
    """Check the graph of a model folder as `read_graph_and_heads` does; return the card."""
    return read_graph_and_heads(folder)[0]


def read_graph_and_heads(folder: Path) -> tuple[Card, Heads]:
    """Check the graph of a model folder and the weights that it refers to; return card and heads.

    Raises `ModelNotFound`, or `BadModelFolder` also where there is no graph.
    """
    stored, card = _read_card(folder)
    if stored.graph is None:
        raise BadModelFolder(
            folder, f"it holds no {GRAPH}.", "Use the engine torch, or add one by `affectlens models graph`."
        )
    _read_weights(folder, stored.weights)
    _read_hashed(folder, GRAPH, stored.graph)
    return card, _read_heads(folder, stored, card)


def _read_hashed(folder: Path, name: str, expected: _StoredFile) -> bytes:
    try:
        data = read_file(folder / name)
    except OSError as error:
        raise BadModelFolder(folder, f"{name} cannot be read: {error.strerror or error}.") from None
    if hashlib.sha256(data).hexdigest() != expected.sha256:
        raise BadModelFolder(folder, f"{name} is not the file that {CONFIG} describes (its hash differs).")
    return data


def _read_heads(folder: Path, stored: _StoredCard, card: Card) -> Heads:
    if stored.heads is None:
        if card.ratings or card.unusual:
            raise BadModelFolder(folder, f"it holds no {HEADS}, which what its {CONFIG} names is read by.")
        return MappingProxyType({})
    data = _read_hashed(folder, HEADS, stored.heads)
    try:
        heads = safetensors.numpy.load(data)
        if card.ratings and len(RatingHead.from_tensors(heads).offsets) != len(card.ratings):
            raise BadModelFolder(folder, f"{HEADS} reads another number of ratings than {CONFIG} names.")
    except (SafetensorError, ValueError, KeyError, BadRatings) as error:
        raise BadModelFolder(folder, f"{HEADS} cannot be used: {first_line(error)}.") from None
    return MappingProxyType(heads)


def store_graph(folder: Path, graph: bytes) -> None:
    """Write a graph into a model folder, completely or not at all.

    Raises `ModelNotFound`, `BadModelFolder`, and `OutputError` where it cannot be written.
    """
    read_model(folder)  # which is complete, or nothing is added
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    ours = {key: value for key, value in config[OURS].items() if key != CONFIG_HASH}
    ours["graph"] = {"sha256": hashlib.sha256(graph).hexdigest()}
    config[OURS] = {**ours, CONFIG_HASH: _hash_of(ours)}
    # In this order: a graph that no config describes is ignored.
    with atomic_write(folder / GRAPH, "wb") as file:
        file.write(graph)
    with atomic_write(folder / CONFIG, "w") as file:
        file.write(_as_text(config))


def has_graph(folder: Path) -> bool:
    """Whether a model folder holds a graph. Raises `ModelNotFound` or `BadModelFolder`."""
    return _read_card(folder)[0].graph is not None


def load_card(folder: Path) -> Card:
    """Read the card alone, without the weights. Raises `ModelNotFound` or `BadModelFolder`."""
    return _read_card(folder)[1]


def for_others(folder: Path) -> dict[str, Any]:
    """Read what other programs look for in a config: all but our part. Raises as `load_card`."""
    _read_card(folder)  # which is known to be readable then
    config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    return {key: value for key, value in config.items() if key != OURS}


def read_readme(folder: Path) -> str:
    """Read the card as written for people. Raises `ModelNotFound` where there is none, `BadModelFolder`."""
    file = folder / README
    if not exists(file):
        raise ModelNotFound(f"The model folder {folder} has no {README}: {file} does not exist.")
    try:
        return read_file(file, MAX_CONFIG_BYTES).decode("utf-8")
    except UnicodeDecodeError:
        raise BadModelFolder(folder, f"{README} is not UTF-8 text.") from None
    except OSError as error:
        raise BadModelFolder(folder, f"{README} cannot be read: {error.strerror or error}.") from None


def write_model(
    folder: Path,
    card: Card,
    weights: bytes,
    readme: str,
    *,
    dtype: str,
    for_others: Mapping[str, Any],
    graph: bytes | None = None,
    heads: Heads | None = None,
) -> None:
    """Write a model folder, replacing a model that is there; completely or not at all.

    `weights` are the bytes of a safetensors file with numbers of `dtype`. `for_others` is what other programs
    look for at the top of config.json. `graph` is what `model.onnx` holds, with weights by their offset in
    `weights`; `heads` what reads the card's ratings, and how unusual a picture is. Raises `OutputError`
    where it cannot be written or where a folder lies that is not a model.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / CONFIG).is_file():
        raise OutputError(f"{folder} holds something else than a model; it is not replaced. Choose another.")
    ours = {
        "format_version": FORMAT_VERSION,
        "version": VERSION,
        **card.to_json(),
        "weights": {"sha256": hashlib.sha256(weights).hexdigest(), "bytes": len(weights), "dtype": dtype},
    }
    files = {WEIGHTS: weights, **({GRAPH: graph} if graph is not None else {})}
    if heads:
        files[HEADS] = safetensors.numpy.save(dict(heads))
    for key, name in (("graph", GRAPH), ("heads", HEADS)):
        if name in files:
            ours[key] = {"sha256": hashlib.sha256(files[name]).hexdigest()}
    config = {**for_others, OURS: {**ours, CONFIG_HASH: _hash_of(ours)}}
    with atomic_folder(folder) as temporary:
        for name, data in files.items():
            (temporary / name).write_bytes(data)
        (temporary / README).write_text(readme, encoding="utf-8")
        (temporary / CONFIG).write_text(_as_text(config), encoding="utf-8")


def _as_text(config: Mapping[str, Any]) -> str:
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def _hash_of(config: Mapping[str, Any]) -> str:
    """Hash the content of a config, however it is laid out in the file."""
    as_read = json.loads(json.dumps(config))  # numbers as keys become text, as in the file
    return hashlib.sha256(json.dumps(as_read, sort_keys=True).encode()).hexdigest()


def _read_card(folder: Path) -> tuple[_StoredCard, Card]:
    plain = _read_config(folder)
    try:
        stored = msgspec.convert(_of_today(plain), _StoredCard)
        card = _card(folder, stored)
    except BadModelFolder:
        raise
    # ValueError is what msgspec raises, also for half of a surrogate pair.
    except (ValueError, KeyError, AffectLensError) as error:
        raise BadModelFolder(folder, f"{CONFIG} lacks or spoils an entry: {first_line(error)}.") from None
    if not stored.name.isprintable():
        raise BadModelFolder(folder, f"{CONFIG} has a name with characters that cannot be shown.")
    sizes = {a.name: {"words": len(a), "several": a.several} for a in card.attributes}
    if card.attributes and sizes != card.network_options.get("attributes"):
        raise BadModelFolder(folder, f"{CONFIG} has words of other attributes than its network answers.")
    return stored, card


def _read_config(folder: Path) -> dict[str, Any]:
    """Read our part of config.json, and check that its version and hash are right."""
    file = folder / CONFIG
    if not file.is_file():
        raise ModelNotFound(
            f"{folder} is not a model folder: it has no {CONFIG}. Pass a folder written by training."
        )
    try:
        if file.stat().st_size > MAX_CONFIG_BYTES:
            raise BadModelFolder(folder, f"{CONFIG} is {file.stat().st_size:,} bytes long.")
        # Not msgspec's own parser: NaN, which the log of a run may hold, is not JSON to it.
        ours: dict[str, Any] = json.loads(file.read_bytes().decode("utf-8"))[OURS]
        version = ours["format_version"]
        is_unchanged = ours.pop(CONFIG_HASH, None) == _hash_of(ours)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadModelFolder(folder, f"{CONFIG} is damaged or not ours ({type(error).__name__}).") from None
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise BadModelFolder(
            folder, f"it is of format {version!r}; this version reads formats 1 to {FORMAT_VERSION}.",
            "Install the version of affectlens that wrote it.",
        )  # fmt: skip
    # A changed digit of the mean or the temperature would give other answers and no error.
    if not is_unchanged:
        raise BadModelFolder(
            folder, f"{CONFIG} was changed after it was written (its hash differs).",
            "Get the model again; to change its card, load it and save it with another.",
        )  # fmt: skip
    return ours


def _of_today(ours: dict[str, Any]) -> dict[str, Any]:
    """Rename what earlier formats called otherwise: the settings of the training run."""
    training = ours.get("training")
    if ours["format_version"] == FORMAT_VERSION or not isinstance(training, dict):
        return ours
    settings = training.get("settings")
    if not isinstance(settings, dict):
        return ours
    return {**ours, "training": {**training, "settings": current_settings(settings)}}


def _vocabulary(folder: Path, stored: Mapping[str, Any]) -> Vocabulary:
    """Find a known vocabulary by its name, or make the one that the card holds."""
    known = VOCABULARIES.get(str(stored["name"]))
    if known is None:
        return vocabulary_of_plain(stored)
    if list(known.words) != stored["words"]:
        raise BadModelFolder(folder, f"its words of {known.name} are others or in another order than ours.")
    return known


def _card(folder: Path, stored: _StoredCard) -> Card:
    return Card(
        name=stored.name,
        network=stored.network,
        network_options=stored.network_options,
        vocabulary=_vocabulary(folder, stored.vocabulary),
        preprocessing=Preprocessing.from_json(stored.preprocessing),
        attributes=tuple(map(Attribute.from_json, stored.attributes)),
        temperature=stored.temperature,
        ratings=tuple(map(RatingScale.from_json, stored.ratings)),
        feature_layers=tuple(stored.feature_layers),
        prediction_sets=stored.prediction_sets,
        unusual=stored.unusual,
        training=stored.training,
        scores=stored.scores,
        licences=stored.licences,
        limits=tuple(stored.limits),
        weights_hash=stored.weights.sha256,
        heads_hash=stored.heads.sha256 if stored.heads else "",
        version=stored.version,
    )


def _read_weights(folder: Path, expected: _StoredWeights) -> bytes:
    """Read the weights and check that they are those that the card describes."""
    file = folder / WEIGHTS
    try:
        found = file.stat().st_size
        if found != expected.bytes or not file.is_file():
            raise BadModelFolder(
                folder, f"{WEIGHTS} has {found:,} bytes, not {expected.bytes:,}: the copy is incomplete."
            )
        data = file.read_bytes()
    except OSError as error:
        raise BadModelFolder(folder, f"{WEIGHTS} cannot be read: {error.strerror}.") from None
    if hashlib.sha256(data).hexdigest() != expected.sha256:
        raise BadModelFolder(folder, f"{WEIGHTS} is not the file that {CONFIG} describes (its hash differs).")
    return data
