"""Start a run with the weights of a trained model (`Settings.start`): all of them, classifiers by emotion.

A classifier has a row of weights for each emotion, and its logits are linear in them. A word that the model
knows keeps its row. A new word starts with a mixture of rows: the model predicts some training pictures that
have the word, and each row weighs as much as the mean probability of its emotion. So at the first step the
logit of the word is the same mixture of the model's logits. That shows where the model sees the word, not
what the word means: only what its pictures have in common with emotions that are known.

What follows from the number of emotions otherwise than in rows, as WSCNet's maps of each emotion, starts anew
together with all classifiers of that network.

Letters: E emotions of the run, K emotions of the model.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from affectlens import library
from affectlens.attributes import Attribute
from affectlens.data import splits
from affectlens.data.records import DataSource, Record
from affectlens.errors import SettingsError
from affectlens.inference.labelled import predict_labelled
from affectlens.inference.labelled_batches import EvaluationSet, evaluation_batches, file_reader
from affectlens.model_folder import Card
from affectlens.models import catalog, network_entry
from affectlens.models.saved import Model, load
from affectlens.preprocess import ExpectedInput, PreprocessingSettings
from affectlens.training.attributes import FROM_DATA, network_options
from affectlens.training.settings import Settings

PICTURES_A_WORD = 200  # at most, that the model predicts for a new word
BATCH = 64

# For each word of a run the known words whose rows it starts with, and how much each weighs.
RowMixtures = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class StartRecord:
    """What a run started with, in its record and in the card of its model.

    `rows` has the words whose rows are those of known words or mixtures of them; others started anew.
    """

    name: str
    weights_hash: str
    licences: Mapping[str, str]
    limits: tuple[str, ...]
    rows: RowMixtures = field(default_factory=dict)


def with_start(settings: Settings, name: str) -> Settings:
    """Start with the weights of a model, with its network and options, and with its preprocessing.

    The name is what `library.find` takes.
    """
    card = library.card(name)
    options = {key: value for key, value in card.network_options.items() if key not in FROM_DATA}
    return replace(
        settings,
        start=name,
        network=card.network,
        network_options=options,
        preprocessing=PreprocessingSettings(),
    )


def input_of(name: str) -> ExpectedInput:
    """Return which images a model was trained on. Raises `ModelNotFound` or `BadModelFolder`."""
    preprocessing = library.card(name).preprocessing
    return ExpectedInput(**{each.name: getattr(preprocessing, each.name) for each in fields(ExpectedInput)})


def start_record(name: str, rows: RowMixtures) -> StartRecord:
    """Describe a model that a run starts with. Raises `ModelNotFound` or `BadModelFolder`."""
    card = library.card(name)
    return StartRecord(
        name=card.name, weights_hash=card.weights_hash, licences=card.licences, limits=card.limits, rows=rows
    )


def load_start(
    network: nn.Module,
    settings: Settings,
    source: DataSource,
    attributes: Sequence[Attribute],
    device: torch.device,
) -> RowMixtures:
    """Load the weights of `settings.start` into a network on the CPU that was built by the same settings.

    `device` is where the model predicts training pictures of new words. Returns which rows each word starts
    with; a word that is not among them starts anew.

    Raises `ModelNotFound` or `BadModelFolder`, and `SettingsError` where the model's network is another.
    """
    model = load(settings.start)
    _check_network(model.card, settings, attributes)
    words, known = source.vocabulary.words, model.card.vocabulary
    fresh, given = network.state_dict(), model.network.state_dict()
    if [known.word(word) if known.knows(word) else None for word in words] == list(known.words):
        network.load_state_dict(given)
        return {word: {known.word(word): 1.0} for word in words}
    of_emotions = _of_emotions(network, settings, attributes, len(words))
    loaded = {name: value for name, value in given.items() if name not in of_emotions}
    rows: RowMixtures = {}
    if _have_rows([fresh[name] for name in of_emotions], len(words)):
        rows = _mixtures(model, source, device)
        mixing = torch.tensor([[rows.get(word, {}).get(k, 0.0) for k in known.words] for word in words])
        loaded |= {name: _mixed(mixing, given[name].cpu(), fresh[name]) for name in of_emotions}
    network.load_state_dict({**fresh, **loaded})
    return rows


def _check_network(card: Card, settings: Settings, attributes: Sequence[Attribute]) -> None:
    """Raise `SettingsError` where a model's network is not that of the settings; dropout may differ."""
    wanted = _described(settings.network, network_options(settings, attributes))
    found = _described(card.network, card.network_options)
    if wanted != found:
        raise SettingsError(
            f"The model {card.name} is the network {_in_words(found)}, and the settings have the network "
            f"{_in_words(wanted)}, which its weights do not fit. Set network and network_options to those of "
            "the model, or start with another one."
        )
    if attributes and tuple(attributes) != card.attributes:
        raise SettingsError(
            f"The model {card.name} answers other attributes than the data set has, or by other words. "
            "Start with a model that was trained on the same attributes."
        )


def _described(network: str, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A network's name, and the options that its weights and its answers depend on."""
    complete = {**catalog.find(network).options, **options}
    return network, {name: value for name, value in complete.items() if name not in network_entry.DROPPED}


def _in_words(described: tuple[str, dict[str, Any]]) -> str:
    network, options = described
    shown = ", ".join(f"{name}={value}" for name, value in options.items())
    return f"{network} ({shown})" if shown else network


def _of_emotions(
    network: nn.Module, settings: Settings, attributes: Sequence[Attribute], emotions: int
) -> list[str]:
    """Names of the weights whose shape follows from the number of emotions: one more emotion changes it."""
    options = network_options(settings, attributes)
    wider = catalog.build(settings.network, emotions + 1, **options).state_dict()
    return [name for name, value in network.state_dict().items() if value.shape != wider[name].shape]


def _have_rows(weights: Sequence[Tensor], emotions: int) -> bool:
    """Whether each has a row for each emotion. (One more emotion has changed its shape.)"""
    return all(len(weight) == emotions for weight in weights)


def _mixed(mixing: Tensor, given: Tensor, fresh: Tensor) -> Tensor:
    """Mix rows: (E, K) and (K, ...) -> (E, ...); words without a mixture keep their fresh rows."""
    mixed = torch.tensordot(mixing.to(given.dtype), given, dims=1)
    starts = mixing.sum(dim=1) > 0
    return torch.where(starts.reshape(-1, *[1] * (given.ndim - 1)), mixed, fresh)


def _mixtures(model: Model, source: DataSource, device: torch.device) -> RowMixtures:
    """Which rows each word starts with: its own, or those that the model sees in the word's pictures."""
    known = model.card.vocabulary
    pictures: dict[str, list[Record]] = {}
    for record in source.split(splits.TRAIN):
        pictures.setdefault(record.target.top, []).append(record)
    rows: dict[str, dict[str, float]] = {}
    for word in source.vocabulary.words:
        if known.knows(word):
            rows[word] = {known.word(word): 1.0}
        elif word in pictures:
            rows[word] = _seen_in(model, pictures[word], device)
    return rows


def _seen_in(model: Model, records: Sequence[Record], device: torch.device) -> dict[str, float]:
    """Mean probability of each emotion over some pictures, evenly from all, in float32 as in use."""
    some = records[:: math.ceil(len(records) / PICTURES_A_WORD)]
    shape = model.card.preprocessing
    batches = evaluation_batches(EvaluationSet(some, shape, file_reader(shape)), BATCH, 0)
    found = predict_labelled(model.network.to(device), batches, shape, device, torch.float32)
    logits = torch.from_numpy(found.logits).double() / model.card.temperature
    means = logits.softmax(dim=1).mean(dim=0).tolist()
    return {word: round(mean, 6) for word, mean in zip(model.card.vocabulary.words, means, strict=True)}
