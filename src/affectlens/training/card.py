"""The text for people in a model folder: what a model is for, how good it is, what it is not for."""

from collections.abc import Mapping
from typing import Any

from affectlens.evaluation.attributes import AttributeScores
from affectlens.evaluation.scores import Scores
from affectlens.evaluation.tables import markdown
from affectlens.library.text import licences_text, markdown_list, readme_beginning
from affectlens.markdown import markdown_code, markdown_text
from affectlens.model_folder import Card
from affectlens.version import VERSION


def limits(data: str) -> tuple[str, ...]:
    """What should be known before a model that was trained on a data set is trusted, sentence by sentence."""
    return (
        "It predicts which emotions a picture evokes on average in the people whose votes it was trained on. "
        "It does not measure what any person feels, and nothing can be read from it about people in the "
        "picture.",
        f"All its training pictures are of one data set ({data}); other cultures, times and kinds of "
        "pictures are predicted less well.",
        "Do not use it to decide about persons, or as evidence of anyone's state of mind.",
    )


def readme(card: Card, scores: Scores, attribute_scores: AttributeScores | None = None) -> str:
    """Write the card as Markdown, with the header that the Hugging Face hub reads."""
    training = card.training
    settings = "\n".join(f"{key} = {value}" for key, value in training["settings"].items())
    known = markdown_list(card.limits)
    counts = {name: sum(by_word.values()) for name, by_word in training["data"]["counts"].items()}
    pictures = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return f"""{readme_beginning(card)}
## Limits
{known}

## Scores on the validation split
The weights of the best epoch were chosen and the temperature ({card.temperature:.3f}) was fitted on this
split, so expect somewhat less on other pictures.

{markdown(scores)}
{_attributes(attribute_scores)}## Training
Data: {training["data"]["spec"]} ({pictures} pictures; split hashes {training["data"]["hashes"]}).
{_teachers(training)}Command: {markdown_code(training["command"])}
Made by AffectLens {VERSION}.

    {settings.replace(chr(10), chr(10) + "    ")}

## Licences
{licences_text(card)}
"""


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
