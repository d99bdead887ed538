"""The text for people in a model folder: what a model is for, how good it is, what it is not for."""

from collections.abc import Mapping, Sequence
from typing import Any

from affectlens.evaluation.attributes import AttributeScores
from affectlens.evaluation.regression import RegressionScore, regression_markdown
from affectlens.evaluation.scores import Scores
from affectlens.evaluation.tables import markdown
from affectlens.library.text import (
    heads_text,
    licences_text,
    markdown_list,
    pictures_text,
    readme_beginning,
)
from affectlens.markdown import markdown_code, markdown_text
from affectlens.model_folder import Card
from affectlens.version import VERSION


def readme(
    card: Card,
    scores: Scores,
    attribute_scores: AttributeScores | None = None,
    rating_scores: Sequence[RegressionScore] = (),
) -> str:
    """Write the card as Markdown, with the header that the Hugging Face hub reads."""
    training = card.training
    settings = "\n".join(f"{key} = {value}" for key, value in training["settings"].items())
    known = markdown_list(card.limits)
    pictures = pictures_text(training["data"]["counts"])
    text = f"""{readme_beginning(card)}
## Limits
{known}

## Scores on the validation split
The weights of the best epoch were chosen and the temperature ({card.temperature:.3f}) was fitted on this
split, so expect somewhat less on other pictures.

{markdown(scores)}
{_attributes(attribute_scores)}{_ratings(rating_scores)}## Training
Data: {training["data"]["spec"]} ({pictures} pictures; split hashes {training["data"]["hashes"]}).
{_start(training)}{_teachers(training)}{_stop(training)}Command: {markdown_code(training["command"])}
{_continued(training)}Made by AffectLens {VERSION}.

    {settings.replace(chr(10), chr(10) + "    ")}

## Licences
{licences_text(card)}
"""
    return heads_text(text, card) if card.ratings else text


def _start(training: Mapping[str, Any]) -> str:
    start = training.get("start")
    if start is None:
        return ""
    rows = start["rows"]
    new = [word for word, parts in rows.items() if len(parts) > 1]
    mixed = f"; new words, which began as mixtures of its words: {', '.join(new)}" if new else ""
    kept = "" if rows else "; its classifiers started anew"
    return f"Started with: {start['name']}, weights {start['weights_hash']}{mixed}{kept}.\n"


def _stop(training: Mapping[str, Any]) -> str:
    ends = [row for row in training["log"] if row.get("stop")]
    return "".join(f"Ended after epoch {row['epoch']}: {row['stop']}.\n" for row in ends)


def _continued(training: Mapping[str, Any]) -> str:
    return "".join(
        f"Continued at step {each['step']} to {each['epochs']:g} epochs: `{each['command']}`\n"
        for each in training.get("continued", ())
    )


def _teachers(training: Mapping[str, Any]) -> str:
    files = training["data"].get("teachers")
    weight = training["settings"].get("distillation")
    if not files:
        return ""
    return f"Teachers: {markdown_text(', '.join(files))}, which weigh {weight} in each target.\n"


def _attributes(attribute_scores: AttributeScores | None) -> str:
    if attribute_scores is None:
        return ""
    return f"""## Attributes on the validation split
What it names in a picture (`affectlens predict --attributes`), and what that does for emotions.

{attribute_scores.markdown()}
"""


def _ratings(scores: Sequence[RegressionScore]) -> str:
    if not scores:
        return ""
    return f"""## Ratings on the validation split
How near predictions come to people's mean rating. The weights of the best epoch were chosen and the widths of
intervals were measured on these pictures, so expect somewhat more error on others.

{regression_markdown(scores)}

"""
