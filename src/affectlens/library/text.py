"""Model folders in words, for people: what made them, what they may be used for, what they replace."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from affectlens.library.default_models import DefaultModels
from affectlens.library.hub_card import front_matter
from affectlens.library.licences import use_text
from affectlens.markdown import markdown_code, markdown_text
from affectlens.model_folder import CALIBRATED, GRAPH, Card, for_others, has_graph, load_card
from affectlens.ratings import AROUSAL, VALENCE

NOT_NAMED = "a version of AffectLens before 0.2, which did not write its number into cards"
_CONFIDENCES = (0.3, 0.5, 0.7, 0.9)  # of those that were measured
BY_EPOCHS = "by_epochs"  # names of ratings that were measured where the epoch was chosen
OWN_PICTURES = "own"  # before the name of a rating, among the figures of a card
_TRAINING, _HEADS = "## Training\n", "## Valence, arousal, sets, unusual pictures"
_OTHER_HEADS = "## Ratings, sets, unusual pictures"  # of a model without valence and arousal
LOWER_IS_BETTER = ("negative_log_likelihood", "expected_calibration_error", "brier")


def summary_text(card: Card, defaults: DefaultModels | None = None) -> str:
    """Write what holds whatever the README of a folder has, as Markdown.

    `defaults` are those of the package by default.
    """
    weights = f"{card.weights_id}, which the rows of its predictions name" if card.weights_id else "not saved"
    lines = [
        "## In short",
        f"- Made by: {made_by(card)}.",
        f"- Weights: {weights}.",
        f"- Use: {use_text(card)}",
    ]
    compared = comparison_text(card, defaults or DefaultModels.read())
    return "\n".join([*lines, "", compared] if compared else lines)


def elsewhere_text(folder: Path) -> str:
    """Write what else can open a model folder, as points of `summary_text`.

    Raises `ModelNotFound` or `BadModelFolder`.
    """
    graph = f"yes, by {GRAPH}" if has_graph(folder) else "no; `affectlens models graph FOLDER` makes it so"
    theirs = "no; `affectlens models export` writes a file that ONNX Runtime or OpenVINO opens"
    if for_others(folder):
        temperature = load_card(folder).temperature
        but = "" if temperature == 1 else f", without the temperature of {temperature:.3g}"
        theirs = (
            'timm.create_model("local-dir:FOLDER", pretrained=True) and '
            f'transformers.pipeline("image-classification", FOLDER){but}'
        )
    return f"- Without torch: {graph}.\n- In other programs: {theirs}."


def readme_beginning(card: Card) -> str:
    """Write how the README of a model folder begins: the header that the hub reads, what it is, its use."""
    words = markdown_text(", ".join(card.vocabulary.words))
    return f"""{front_matter(card)}
# {markdown_text(card.name)}

Which emotions a picture evokes in the people who look at it: {words}.

Network: {markdown_code(card.network)}, {card.preprocessing.width}x{card.preprocessing.height} pixels. Use:

    affectlens predict PHOTO.jpg --model FOLDER
"""


def limits(data: str, start: str = "", limits_of_start: Sequence[str] = ()) -> tuple[str, ...]:
    """What should be known before a model that was trained on a data set is trusted, sentence by sentence.

    The limits of a model that training started with go along, as sentences about that model.
    """
    pictures = f"one data set ({data})" + (f", or of those of the model {start}" if start else "")
    own = (
        "It predicts which emotions a picture evokes on average in the people whose votes it was trained on. "
        "It does not measure what any person feels, and nothing can be read from it about people in the "
        "picture.",
        f"All its training pictures are of {pictures}; other cultures, times and kinds of pictures are "
        "predicted less well.",
        "Do not use it to decide about persons, or as evidence of anyone's state of mind.",
    )
    others = [sentence for sentence in limits_of_start if sentence not in own]
    return (*own, *(f"Of {start}, with which its training started: {sentence}" for sentence in others))


def pictures_text(counts: Mapping[str, Mapping[str, int]]) -> str:
    """Write how many pictures each split has, of their numbers by split and word.

    >>> pictures_text({"train": {"awe": 1200, "fear": 34}, "val": {"awe": 5}})
    'train 1,234, val 5'
    """
    return ", ".join(f"{name} {sum(by_word.values()):,}" for name, by_word in counts.items())


def licences_text(card: Card) -> str:
    """List the licences of a model, and what it may be used for, as Markdown."""
    lines = [f"{what.capitalize()}: {text}." for what, text in card.licences.items()]
    return markdown_list([*lines, f"Use: {use_text(card)}"])


def markdown_list(sentences: Iterable[str]) -> str:
    """List sentences, which may be of others, as Markdown."""
    return "\n".join(f"- {markdown_text(sentence)}" for sentence in sentences)


def heads_text(readme: str, card: Card) -> str:
    """Add what a model answers besides emotions to its README, before how it was trained.

    Replaces what an earlier version of the section was.
    """
    before, found, rest = readme.partition(_TRAINING)
    for earlier in (_HEADS, _OTHER_HEADS):
        before = before.partition(earlier)[0].rstrip()
    others = card.ratings and not {scale.name for scale in card.ratings} & {VALENCE, AROUSAL}
    title = _OTHER_HEADS if others else _HEADS
    sections = [before, "\n".join([title, *_heads_lines(card)]), f"{found}{rest}".strip()]
    return "\n\n".join(section for section in sections if section) + "\n"


def _heads_lines(card: Card) -> Iterator[str]:
    measured = card.training.get("ratings", {})
    for scale in card.ratings:
        what = "what people rate on average"
        if scale.is_percent:
            what = "how many of a hundred people give this label"
        yield (
            f"- {scale.name.capitalize()}, {scale.low:g} to {scale.high:g}: {what}, "
            f"within {scale.half_width():.1f} of the predicted mean for 90 % of pictures "
            f"{_of_which_pictures(card, scale.name)}."
        )
        for name, figure in measured.get("figures", {}).items():
            source, _, rating = name.partition(" ")
            if rating == scale.name:
                low, high = figure["r_interval"]
                yield (
                    f"    - {_of_source(source, figure)}, each left out whole: r {figure['r']:.2f} "
                    f"({low:.2f} to {high:.2f}), mean error {figure['error']:.2f}; "
                    f"of the mean of all {figure['error_of_the_mean']:.2f}."
                )
    if (alone := measured.get("siblings_alone")) and measured.get("figures"):
        yield (
            "- Photographs of these sets come in themes. The mean rating of the other photographs of a "
            f"picture's own theme alone has r {alone[VALENCE]:.2f} with its valence: what models reach "
            "that saw "
            "other photographs of the theme is not comparable with the figures above."
        )
    terms = [text for what, text in card.licences.items() if what.startswith("ratings")]
    if card.ratings and terms:
        yield (
            f"- Terms of the ratings: {'; '.join(terms)}. Whether they bind what was learned from the "
            "ratings is "
            "not settled. To be safe, use valence and arousal for research alone, not commercially; emotions "
            "have the terms named below."
        )
    if card.prediction_sets:
        yield (
            "- Sets of emotions (`--coverage`): for each emotion, as many pictures as wanted have theirs "
            "in the "
            "set, on pictures like those of the calibration. The most probable emotion is always in it."
        )
    yield from _sets_lines(card.training.get("sets", {}))
    if found := card.unusual.get("recall_of_unseen_kind"):
        kinds = ", ".join(f"{kind} {share:.0%}" for kind, share in found.items()).replace("%", " %")
        flagged = ", ".join(
            f"{source} {rate['mean']:.1%}" for source, rate in card.unusual["cross_fitted"].items()
        )
        yield (
            "- Pictures that it was not made for are marked as unusual. Of made pictures of kinds that the "
            f"score had not seen it marks: {kinds}. It wrongly marks of photographs: "
            f"{flagged.replace('%', ' %')}. What is not marked may still be unlike its training pictures."
        )


def _of_which_pictures(card: Card, rating: str) -> str:
    """State of which pictures the interval of a rating holds."""
    parts = card.training.get(CALIBRATED, {}).get("parts", ())
    if rating in {part["name"] for part in parts if part["changed"]}:
        return "like those that calibrated it"
    if rating in card.training.get("ratings", {}).get(BY_EPOCHS, ()):
        return "like those of its validation split, by which its epoch was chosen"
    return "of themes that it did not learn from"


def _of_source(source: str, figure: Mapping[str, Any]) -> str:
    """Name the pictures of which ratings were measured; `OWN_PICTURES` are of the user who learned them."""
    counts = figure["pictures"], figure["groups"]
    if source == OWN_PICTURES:
        return "{} own pictures in {} groups".format(*counts)
    return "{}, {} photographs of {} themes or scenes".format(source.upper(), *counts)


def _sets_lines(measured: Mapping[str, Any]) -> Iterator[str]:
    """Write coverage and size of sets, and what abstaining leaves, of a card of the default model."""
    for level, found in measured.get("held_out", {}).items():
        yield (
            f"    - {100 * float(level):g} % sets: {100 * found['coverage']['value']:.1f} % hold it, of the "
            f"worst emotion, {found['worst_emotion']}, {100 * found['worst_coverage']:.1f} %; "
            f"{found['size']['value']:.2f} words."
        )
    rows = measured.get("abstaining", {}).get("rows", [])
    answered = [
        f"from {row['min_confidence']:g} on {100 * row['answered']:.0f} % of the pictures, of which "
        f"{100 * row['errors']['value']:.0f} % are wrong"
        for row in rows
        if row["min_confidence"] in _CONFIDENCES
    ]
    if answered:
        yield f"- Answered at a least confidence (`--min-confidence`): {'; '.join(answered)}."


def made_by(card: Card) -> str:
    """Name the version of the package that wrote a folder, or that trained the model."""
    machine = card.training.get("machine")
    versions = machine.get("versions") if isinstance(machine, Mapping) else None
    trained = versions.get("affectlens") if isinstance(versions, Mapping) else None
    version = card.version or trained
    return f"AffectLens {version}" if version and version != "not installed" else NOT_NAMED


def comparison_text(card: Card, defaults: DefaultModels) -> str:
    """Compare a default model with the one before it; empty where there is none."""
    found = defaults.last_two(card)
    if found is None:
        return ""
    former, model = found
    lines = [
        f"## Compared with the default model of version {former.version} ({former.weights})",
        f"On {defaults.pictures:,} pictures of {defaults.data}, {defaults.which} ({defaults.hash}).",
    ]
    for name, value in model.scores.items():
        if name in former.scores:
            lower = " (lower is better)" if name in LOWER_IS_BETTER else ""
            lines.append(f"- {name.replace('_', ' ')}{lower}: {value:.3f}, before {former.scores[name]:.3f}")
    return "\n".join(lines)
