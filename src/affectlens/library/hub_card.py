"""What the Hugging Face hub reads of a model's README: the header, with measured scores as a model index."""

from typing import Any

from affectlens.data.catalog import DATA_SETS
from affectlens.emotions import is_known
from affectlens.library.licences import hub_licence
from affectlens.model_folder import Card

_PIPELINE = "image-classification"
# Scores of a card by the hub's names of metrics; what people call them.
_METRICS = {
    "accuracy": ("accuracy", "accuracy"),
    "balanced_accuracy": ("balanced_accuracy", "balanced accuracy"),
    "macro_f1": ("f1", "macro F1"),
    "expected_calibration_error": ("expected_calibration_error", "expected calibration error"),
    "negative_log_likelihood": ("negative_log_likelihood", "negative log-likelihood"),
    "brier": ("brier_score", "Brier score (0 to 2)"),
}
_DIGITS = 4


def front_matter(card: Card) -> str:
    """Write the header of a README, between its lines of dashes, as YAML.

    Of vocabularies only known ones are tags: the name of another means nothing elsewhere. Scores are those
    of the card; a model whose scores were not measured has none.
    """
    from huggingface_hub import ModelCardData  # here: it takes half a second to import

    words = [card.vocabulary.name] if is_known(card.vocabulary) else []
    results = _results(card)
    data = ModelCardData(
        library_name="affectlens",
        pipeline_tag=_PIPELINE,
        license="other",
        license_name=hub_licence(card),
        tags=["visual-emotion-analysis", *words],
        datasets=[_data(card)] if _data(card) else None,
        metrics=list(dict.fromkeys(each.metric_type for each in results)) or None,
        model_name=card.name if results else None,
        eval_results=results or None,
    )
    return f"---\n{data.to_yaml().rstrip()}\n---"


def _data(card: Card) -> str:
    """Name the data set that a model was trained on; "" for one that has no name, or is not known."""
    data: Any = card.training.get("data", {})
    name = str(data.get("spec", "")).partition(":")[0] if isinstance(data, dict) else ""
    return name if name in DATA_SETS and not DATA_SETS[name].any_words else ""


def _results(card: Card) -> list[Any]:
    from huggingface_hub import EvalResult

    data, split = _data(card), card.scores.get("split")
    return [
        EvalResult(
            task_type=_PIPELINE,
            task_name="Visual emotion analysis",
            dataset_type=data or "own",
            dataset_name=DATA_SETS[data].summary if data else "pictures of its makers",
            dataset_split=split if isinstance(split, str) else None,
            metric_type=metric,
            metric_name=title,
            metric_value=round(float(card.scores[name]), _DIGITS),
        )
        for name, (metric, title) in _METRICS.items()
        if isinstance(card.scores.get(name), int | float)
    ]
