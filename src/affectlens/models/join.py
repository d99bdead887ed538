"""Trained models -> one ensemble: their networks become its branches, and its answer is the mean of theirs.

Members that are trained for what they answer together lean on one another (Webb et al., "To Ensemble or Not
Ensemble: When does End-To-End Training Fail?", ECML PKDD 2020; Jeffares et al., "Joint Training of Deep
Ensembles Fails Due to Learner Collusion", NeurIPS 2023). A run of `pair` or `ensemble` does not do that, it
trains each branch by a loss of its own; but all have the same pictures, settings and steps, and are kept at
the same epoch. Models that were trained in runs of their own may differ in all of these.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from affectlens.errors import SettingsError, first_line
from affectlens.library.licences import merged_licences
from affectlens.library.text import licences_text, markdown_list, readme_beginning
from affectlens.markdown import markdown_code, markdown_text
from affectlens.model_folder import Card
from affectlens.models import backbones, catalog
from affectlens.models.ensemble import Ensemble
from affectlens.models.network_entry import DROPPED
from affectlens.models.saved import Model
from affectlens.preprocess import Preprocessing
from affectlens.version import VERSION

# Facts of training about what is read of a model besides emotions, which a joined model does not have.
_OF_HEADS = ("ratings", "sets")


def join(models: Sequence[Model], name: str, size: int | None = None) -> Model:
    """Make an ensemble of models, each scaled by its temperature; the models stay unchanged.

    Its logits are the mean of the models' calibrated log-probabilities. A model that is an ensemble gives
    its branches, each of which counts like any other member. The ensemble's pictures are as large as those
    of the member that sees the largest; where others are as high as wide, these see them made smaller.
    `size` is the height and width in pixels that all see instead. The card holds where the members come from,
    and no scores: these are not known before it is evaluated.

    Raises `SettingsError` for fewer than two members, for a network without a single last layer, and for
    emotions or preprocessing that do not go together.
    """
    members = [branch for model in models for branch in branches_of(model)]
    if len(members) < 2:
        raise SettingsError("An ensemble has several members. Name two models or more.")
    cards = [member.card for member in members]
    _check_vocabularies(cards)
    networks = [catalog.find(card.network).timm_name or card.network for card in cards]
    own = [_options_of(card) for card in cards]
    preprocessing, sizes = _common(cards, size)
    _check_statistics(cards)
    options: dict[str, Any] = {"members": networks}
    if any(own):
        options["member_options"] = own
    if any(sizes):
        options["sizes"] = sizes
    joined: Any = catalog.build("ensemble", len(cards[0].vocabulary), **options)
    for branch, member in zip(joined.members, members, strict=True):
        joined.get_submodule(branch).load_state_dict(member.network.state_dict())
    joined.scale_branches([card.temperature for card in cards])
    _check_size(joined.eval(), preprocessing)
    origins = _origins(dict(zip(joined.members, cards, strict=True)))
    card = Card(
        name=name,
        network="ensemble",
        network_options=options,
        vocabulary=cards[0].vocabulary,
        preprocessing=preprocessing,
        training={"joined": origins},
        licences=merged_licences([card.licences for card in cards]),
        limits=tuple(dict.fromkeys(limit for card in cards for limit in card.limits)),
    )
    return Model(joined, card)


def branches_of(model: Model) -> list[Model]:
    """Return the branches of an ensemble as models of their own; a model of another network as it is.

    Their weights hold their temperatures.
    """
    network = model.network
    if not isinstance(network, Ensemble):
        return [model]
    found = []
    for branch, member in network.members.items():
        mean, std = backbones.statistics(member.backbone)
        seen = replace(model.card.preprocessing, mean=mean, std=std)
        card = replace(
            model.card,
            name=f"{model.card.name}, its branch {branch}",
            network=member.network,
            network_options=dict(member.options),
            preprocessing=replace(seen, height=member.size, width=member.size) if member.size else seen,
            temperature=1.0,
        )
        found.append(Model(network.get_submodule(branch), card))
    return found


def joined_readme(card: Card, scores: str = "") -> str:
    """Write the card of a joined model as Markdown, with the header that the hub reads.

    `scores` are those that the card holds, as a table of Markdown, where it was evaluated.
    """
    origins = "\n".join(
        f"- {branch}: {markdown_text(origin['name'])}, {markdown_code(origin['network'])}, "
        f"weights {origin['weights_hash'] or 'unsaved'}"
        for branch, origin in card.training["joined"].items()
    )
    limits = markdown_list(card.limits) or "- Those of all members."
    command = f"Command: {markdown_code(card.training['command'])}\n" if "command" in card.training else ""
    return f"""{readme_beginning(card)}
## Limits
{limits}

{_scores(card, scores)}
## Training
{command}Joined by AffectLens {VERSION} of models that were trained apart; their answers are averaged:

{origins}

## Licences
{licences_text(card)}
"""


def _scores(card: Card, scores: str) -> str:
    if not scores:
        return "## Scores\nNot measured: `affectlens evaluate FOLDER --data NAME:PATH`.\n"
    split = card.scores["split"]
    what = (
        "The temperature was fitted on this split, and members may have been chosen by it, so expect\n"
        "somewhat less on other pictures."
        if split == "val"
        else "Pictures that nothing learned from and nothing was chosen on."
    )
    return f"""## Scores on the split {split}
{what}

{scores}
"""


def _origins(cards: Mapping[str, Card]) -> dict[str, dict[str, Any]]:
    """What the card states of each member; how branches of one model were trained stands at the first."""
    found: dict[str, dict[str, Any]] = {}
    for branch, card in cards.items():
        names = ("name", "network", "weights_hash", "version", "temperature")
        origin = {name: getattr(card, name) for name in names}
        training = {name: fact for name, fact in card.training.items() if name not in _OF_HEADS}
        alike = [other for other, each in found.items() if each["training"] == training]
        found[branch] = {**origin, "training": {"as": alike[0]} if alike and training else training}
    return found


def _check_vocabularies(cards: Sequence[Card]) -> None:
    first = cards[0]
    for other in cards[1:]:
        if other.vocabulary != first.vocabulary:
            raise SettingsError(
                f"The models know other emotions: {first.name} [{', '.join(first.vocabulary.words)}], "
                f"{other.name} [{', '.join(other.vocabulary.words)}]. Join models of the same."
            )


def _options_of(card: Card) -> dict[str, Any]:
    """Return the options of a member that weights or answers depend on; none of a plain network of timm."""
    if catalog.find(card.network).timm_name:
        return {}
    return {name: value for name, value in card.network_options.items() if name not in DROPPED}


def _common(cards: Sequence[Card], size: int | None) -> tuple[Preprocessing, list[int]]:
    """Preprocessing that all can use, normalised for the first, and the size of each that sees a smaller one.

    Sizes are of squares, 0 for one that sees what the ensemble is given.
    """
    seen = [card.preprocessing for card in cards]
    if size is not None:
        seen = [replace(each, height=size, width=size) for each in seen]
    largest = max(seen, key=lambda each: each.height * each.width)
    sizes = [0 if _shape(each) == _shape(largest) else each.height for each in seen]
    first = seen[0]
    for card, each in zip(cards, seen, strict=True):
        if _shape(each) != _shape(largest) and (each.height != each.width or largest.height != largest.width):
            raise SettingsError(
                f"{card.name} sees {each.width}x{each.height} pixels and another model "
                f"{largest.width}x{largest.height}. State the size for all, as --size 224."
            )
        _check_alike(cards[0], card)
    return replace(first, height=largest.height, width=largest.width), sizes


def _shape(seen: Preprocessing) -> tuple[int, int]:
    return seen.height, seen.width


def _check_alike(first: Card, other: Card) -> None:
    """Raise `SettingsError` where two models see more of a picture differently than its size."""
    one, another = first.preprocessing, other.preprocessing
    for name in ("version", "fit", "crop_fraction", "interpolation"):
        if getattr(one, name) != getattr(another, name):
            raise SettingsError(
                f"The models see pictures differently: {name} is {getattr(one, name)!r} for {first.name} and "
                f"{getattr(another, name)!r} for {other.name}. Train them with the same preprocessing.{name}."
            )
    if one.fit == "pad" and one.mean != another.mean:
        raise SettingsError(
            f"{first.name} and {other.name} fill the edges of a picture with different colours, because "
            "preprocessing.fit is pad. Train them with squash or crop."
        )


def _check_statistics(cards: Sequence[Card]) -> None:
    """Raise `SettingsError` where the ensemble would not give a network what it was trained on."""
    images = [catalog.expected_input(card.network, card.network_options) for card in cards]
    expected = [np.array([each.mean, each.std]) for each in images]
    pixels = np.array([[0.0], [1.0]])
    one, given = cards[0].preprocessing, expected[0]
    normalised = (pixels - one.mean) / one.std
    for card, wanted in zip(cards[1:], expected[1:], strict=True):
        other = card.preprocessing
        renormalised = (normalised * given[1] + given[0] - wanted[0]) / wanted[1]
        if not np.allclose(renormalised, (pixels - other.mean) / other.std, atol=1e-4):
            raise SettingsError(
                f"{cards[0].name} and {card.name} were not both trained with the mean and standard deviation "
                "that their pretrained weights expect, so an ensemble cannot bring pictures from one to the "
                "other. Train them from pretrained weights, without preprocessing.mean and preprocessing.std."
            )


def _check_size(network: nn.Module, preprocessing: Preprocessing) -> None:
    height, width = preprocessing.height, preprocessing.width
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 3, height, width))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise SettingsError(
            f"The networks take no pictures of {width}x{height} pixels: {first_line(error)}."
        ) from None
