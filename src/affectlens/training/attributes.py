"""What a run needs of a data set's attributes: which, a network built for them, how frequent words are."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from affectlens.attributes import Attribute
from affectlens.data.records import DataSource, Record
from affectlens.errors import SettingsError
from affectlens.models import catalog
from affectlens.training.settings import Settings

# Options of a network that a run sets.
FROM_DATA = ("attributes", "weigh_tasks")
# What a network is built with besides its options.
NO_OPTIONS = frozenset({"name", "num_emotions", "weights"})


def attributes_of(settings: Settings, source: DataSource) -> tuple[Attribute, ...]:
    """Return the attributes to learn: those of the data set, or none for a network that answers none.

    Raises `SettingsError` where network, losses and data do not go together.
    """
    answers = catalog.find(settings.network).attributes
    if not answers:
        return ()
    if not source.attributes:
        raise SettingsError(
            f"The network {settings.network} learns attributes of pictures, and {source.name} at "
            f"{source.root} has none. Train on emoset, or choose a network without attributes, as vit."
        )
    if not settings.loss.attributes:
        raise SettingsError(
            f"The network {settings.network} learns attributes, and loss.attributes is 0: its words would "
            "mean nothing. Set loss.attributes=1, or choose a network without attributes, as vit."
        )
    given = [option for option in FROM_DATA if option in settings.network_options]
    if given:
        raise SettingsError(
            f"network_options.{given[0]} follows from the data set and loss.attribute_weights. Leave it out."
        )
    return source.attributes


def network_options(settings: Settings, attributes: Sequence[Attribute]) -> dict[str, Any]:
    """Return the network's options, and those that build it for the attributes.

    Raises `SettingsError` for one that a setting of its own decides, or the data.
    """
    options = dict(settings.network_options)
    for option in sorted(NO_OPTIONS & set(options)):
        raise SettingsError(
            f"The network {settings.network} has no option {option!r}. Weights to begin with are the "
            "settings weights and start."
        )
    if attributes:
        options["attributes"] = {a.name: {"words": len(a), "several": a.several} for a in attributes}
        options["weigh_tasks"] = settings.loss.attribute_weights == "learned"
    return options


def fingerprint(source: DataSource, attributes: Sequence[Attribute]) -> str:
    """Hash which picture has which words, and the order of all words: 16 hex digits, on any machine."""
    names = [attribute.name for attribute in attributes]
    rows = [
        [record.key, {name: sorted(record.attributes[name]) for name in names if name in record.attributes}]
        for part in source.splits.values()
        for record in part
    ]
    hashed = [[attribute.to_json() for attribute in attributes], sorted(rows, key=lambda row: str(row[0]))]
    return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()[:16]


def word_frequencies(attributes: Sequence[Attribute], records: Sequence[Record]) -> Mapping[str, Tensor]:
    """Fraction of pictures with each word, among those with an answer, of attributes with several: (W,)."""
    return {a.name: _frequency(a, records) for a in attributes if a.several}


def _frequency(attribute: Attribute, records: Sequence[Record]) -> Tensor:
    answers = [r.attributes[attribute.name] for r in records if attribute.name in r.attributes]
    counted = Counter(word for words in answers for word in words)
    return torch.tensor([counted[word] / max(1, len(answers)) for word in attribute.words])
