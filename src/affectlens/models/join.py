"""Two trained models -> one pair: their networks become its branches, and its answer is the mean of theirs.

Members that are trained for what they answer together lean on one another (Webb et al., "To Ensemble or Not
Ensemble: When does End-To-End Training Fail?", ECML PKDD 2020; Jeffares et al., "Joint Training of Deep
Ensembles Fails Due to Learner Collusion", NeurIPS 2023). A run of `pair` does not do that, it trains each
branch by a loss of its own; but both have the same pictures, settings and steps, and are kept at the same
epoch. Models that were trained in runs of their own may differ in all of these.
"""

from collections.abc import Mapping
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
from affectlens.models.pair import Pair, PairConfig
from affectlens.models.saved import Model
from affectlens.preprocess import Preprocessing
from affectlens.version import VERSION


def join(transformer: Model, convolutional: Model, name: str, size: int | None = None) -> Model:
    """Make a pair of two plain networks of timm, each scaled by its temperature; the models stay unchanged.

    Its logits are the mean of both models' calibrated log-probabilities. A convolutional model of smaller
    pictures, as high as wide, sees the pair's pictures made smaller. `size` is the height and width of the
    pair's input in pixels, where those of the models do not go together, or are to be others. The card holds
    where both come from, and no scores: these are not known before it is evaluated. Of a pair that one of the
    models is, the branch in question is joined.

    Raises `SettingsError` for networks, emotions or preprocessing that do not go together.
    """
    transformer = branch_of(transformer, "transformer")
    convolutional = branch_of(convolutional, "convolutional")
    first, second = transformer.card, convolutional.card
    if first.vocabulary != second.vocabulary:
        raise SettingsError(
            f"The models know other emotions: {first.name} [{', '.join(first.vocabulary.words)}], "
            f"{second.name} [{', '.join(second.vocabulary.words)}]. Join models of the same."
        )
    options: dict[str, Any] = {"transformer": _timm_name(first), "convolutional": _timm_name(second)}
    _check_statistics(first, second, options)
    smaller = size is None and _is_smaller_square(second.preprocessing, first.preprocessing)
    if smaller:
        options["convolutional_size"] = second.preprocessing.height
    preprocessing = _common(first, second, first.preprocessing.height if smaller else size)
    pair = _pair(len(first.vocabulary), options)
    pair.transformer.load_state_dict(transformer.network.state_dict())
    pair.convolutional.load_state_dict(convolutional.network.state_dict())
    pair.scale_branches([first.temperature, second.temperature])
    _check_size(pair.eval(), preprocessing)
    card = Card(
        name=name,
        network="pair",
        network_options=options,
        vocabulary=first.vocabulary,
        preprocessing=preprocessing,
        training={"joined": {"transformer": _origin(first), "convolutional": _origin(second)}},
        licences=merged_licences([first.licences, second.licences]),
        limits=tuple(dict.fromkeys([*first.limits, *second.limits])),
    )
    return Model(pair, card)


def branch_of(model: Model, name: str) -> Model:
    """Return a branch of a pair as a model of its own; its weights hold its temperature. Another as it is."""
    if not isinstance(model.network, Pair):
        return model
    config = PairConfig(num_emotions=len(model.card.vocabulary), **model.card.network_options)
    seen = model.card.preprocessing
    if name == "convolutional":  # which sees what the pair's images are made for it
        mean, std = backbones.statistics(config.convolutional)
        side = config.convolutional_size
        height, width = (side, side) if side else (seen.height, seen.width)
        seen = replace(seen, mean=mean, std=std, height=height, width=width)
    card = replace(
        model.card,
        name=f"{model.card.name}, its {name} branch",
        network=getattr(config, name),
        network_options={},
        preprocessing=seen,
        temperature=1.0,
    )
    return Model(getattr(model.network, name), card)


def joined_readme(card: Card, scores: str = "") -> str:
    """Write the card of a joined model as Markdown, with the header that the hub reads.

    `scores` are those that the card holds, as a table of Markdown, where it was evaluated.
    """
    origins = "\n".join(
        f"- {branch}: {markdown_text(origin['name'])}, {markdown_code(origin['network'])}, "
        f"weights {origin['weights_hash'] or 'unsaved'}"
        for branch, origin in card.training["joined"].items()
    )
    limits = markdown_list(card.limits) or "- Those of both models."
    command = f"Command: {markdown_code(card.training['command'])}\n" if "command" in card.training else ""
    return f"""{readme_beginning(card)}
## Limits
{limits}

{_scores(card, scores)}
## Training
{command}Two models, joined by AffectLens {VERSION}; their answers are averaged:

{origins}

## Licences
{licences_text(card)}
"""


def _scores(card: Card, scores: str) -> str:
    if not scores:
        return "## Scores\nNot measured: `affectlens evaluate FOLDER --data NAME:PATH`.\n"
    return f"""## Scores on the split {card.scores["split"]}
Pictures that nothing learned from and nothing was chosen on.

{scores}
"""


def _origin(card: Card) -> dict[str, Any]:
    names = ("name", "network", "weights_hash", "version", "temperature", "training")
    return {name: getattr(card, name) for name in names}


def _timm_name(card: Card) -> str:
    name = catalog.find(card.network).timm_name
    if name is None:
        raise SettingsError(
            f"The network {card.network} of {card.name} cannot be a branch of a pair, because it is not a "
            "plain network of timm. Join a transformer, as deit_tiny, and a convolutional network."
        )
    return name


def _is_smaller_square(one: Preprocessing, other: Preprocessing) -> bool:
    return one.height == one.width < other.height == other.width


def _common(first: Card, second: Card, size: int | None) -> Preprocessing:
    """Preprocessing that both can use; mean and standard deviation are the transformer's."""
    one, other = first.preprocessing, second.preprocessing
    if size is not None:
        one, other = (replace(each, height=size, width=size) for each in (one, other))
    if (one.height, one.width) != (other.height, other.width):
        raise SettingsError(
            f"{first.name} sees {one.width}x{one.height} pixels and {second.name} "
            f"{other.width}x{other.height}. State the size for both, as --size 224."
        )
    for name in ("version", "fit", "crop_fraction", "interpolation"):
        if getattr(one, name) != getattr(other, name):
            raise SettingsError(
                f"The models see pictures differently: {name} is {getattr(one, name)!r} for {first.name} and "
                f"{getattr(other, name)!r} for {second.name}. Train them with the same preprocessing.{name}."
            )
    if one.fit == "pad" and one.mean != other.mean:
        raise SettingsError(
            f"{first.name} and {second.name} fill the edges of a picture with different colours, because "
            "preprocessing.fit is pad. Train them with squash or crop."
        )
    return one


def _check_statistics(first: Card, second: Card, options: Mapping[str, Any]) -> None:
    """Raise `SettingsError` where the pair would not give the second network what it was trained on."""
    given, expected = (np.array(backbones.statistics(options[o])) for o in ("transformer", "convolutional"))
    pixels = np.array([[0.0], [1.0]])
    one, other = first.preprocessing, second.preprocessing
    normalised = (pixels - one.mean) / one.std
    renormalised = (normalised * given[1] + given[0] - expected[0]) / expected[1]
    if not np.allclose(renormalised, (pixels - other.mean) / other.std, atol=1e-4):
        raise SettingsError(
            f"{first.name} and {second.name} were not both trained with the mean and standard deviation that "
            "their pretrained weights expect, so a pair cannot bring pictures from one to the other. Train "
            "them from pretrained weights, without preprocessing.mean and preprocessing.std."
        )


def _pair(num_emotions: int, options: Mapping[str, Any]) -> Pair:
    transformer = options["transformer"]
    try:
        return Pair(PairConfig(num_emotions=num_emotions, **options))
    except TypeError as error:
        raise SettingsError(
            f"{transformer} is not a transformer whose input may have any size ({error}). Name "
            "the model of the transformer first and that of the convolutional network second."
        ) from None


def _check_size(network: nn.Module, preprocessing: Preprocessing) -> None:
    height, width = preprocessing.height, preprocessing.width
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 3, height, width))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise SettingsError(
            f"The networks take no pictures of {width}x{height} pixels: {first_line(error)}."
        ) from None
