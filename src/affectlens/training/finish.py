"""From the best weights of a run to its model folder: temperatures, scores, card."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from affectlens import metrics
from affectlens.data import splits
from affectlens.data.fingerprints import content_hashes
from affectlens.data.records import Record
from affectlens.errors import MissingExtra, SettingsError
from affectlens.evaluation.attributes import AttributeScores, score_attributes
from affectlens.evaluation.calibration import fit_temperature
from affectlens.evaluation.regression import RegressionScore
from affectlens.evaluation.scores import Scores, score
from affectlens.inference.labelled import predict_attributes, predict_labelled
from affectlens.inference.labelled_batches import EvaluationSet, evaluation_batches, file_reader
from affectlens.inference.predictions import Predictions, RatingPredictions
from affectlens.library.licences import licences, merged_licences
from affectlens.library.text import BY_EPOCHS, limits
from affectlens.model_folder import Card, Heads
from affectlens.models import catalog
from affectlens.models.capabilities import HasAttributes, HasBranches
from affectlens.models.network_input import normalise
from affectlens.models.rated import rating_layer, remove_ratings
from affectlens.models.saved import add_graph, round_weights, save_model
from affectlens.training.attributes import network_options
from affectlens.training.card import readme
from affectlens.training.checkpoints import load_weights
from affectlens.training.ratings import quick_rating_scores, scales_of, score_shares
from affectlens.training.run_folder import (
    BEST,
    LOG,
    MODEL,
    RunRecord,
    TrainingRequest,
    portable_settings,
    read_rows,
)
from affectlens.training.session import EVALUATION_BATCH, Session, open_session
from affectlens.training.settings import RATINGS_RMSE
from affectlens.training.start import StartRecord

IN_USE = torch.float32  # the precision of a model that is scored
GRAPH_PICTURES = 16  # on which a graph is compared with its network


@dataclass(frozen=True)
class RunFinished:
    """The model folder, its scores on the validation split, and why it has no graph if one was wanted."""

    model: Path
    scores: Scores
    attribute_scores: AttributeScores | None = None
    no_graph: str = ""
    rating_scores: tuple[RegressionScore, ...] = ()


def quick_scores(predictions: Predictions) -> dict[str, float]:
    """The few scores that are logged each epoch; `mean` is that of accuracy and balanced accuracy.

    Of predictions with ratings those of `ratings.quick_rating_scores` too.
    """
    logits, targets = predictions.logits, predictions.targets
    accuracy = metrics.accuracy(logits, targets)
    balanced = metrics.balanced_accuracy(logits, targets)
    return {
        "accuracy": accuracy,
        "balanced_accuracy": balanced,
        "mean": (accuracy + balanced) / 2,
        "macro_f1": metrics.macro_f1(logits, targets),
        "negative_log_likelihood": metrics.negative_log_likelihood(logits, targets),
        **(quick_rating_scores(predictions.ratings) if predictions.ratings else {}),
    }


def selection_score(scores: Mapping[str, float], select_by: str) -> float:
    """Return what epochs are selected by, of `quick_scores`; more is better."""
    if select_by == "likelihood":
        return math.exp(-scores["negative_log_likelihood"])
    if select_by == RATINGS_RMSE:
        return math.exp(-scores[RATINGS_RMSE])
    return scores[select_by]


def finish(request: TrainingRequest, session: Session) -> RunFinished:
    """Fit the temperatures of the best weights (`BEST`), score them, write the model folder.

    All as in use: weights rounded as they are stored, pictures from their files, float32 as in every engine.
    So `affectlens evaluate` gives the figures of the card.
    """
    network = _best_network(request, session)
    if isinstance(network, HasBranches):
        alone = [_predict(session, branch) for branch in network.branch_networks().values()]
        network.scale_branches([fit_temperature(branch.logits, branch.targets) for branch in alone])
    round_weights(network, request.dtype)
    predictions = _predict(session, network)
    temperature = fit_temperature(predictions.logits, predictions.targets)
    scores = score(
        predictions.logits, predictions.targets, session.source.vocabulary, temperature=temperature
    )
    attribute_scores = _score_attributes(session, network)
    of_attributes: Mapping[str, object] = attribute_scores.to_json() if attribute_scores else {}
    rating_scores = score_shares(predictions.ratings) if predictions.ratings else ()
    of_ratings = {"ratings": [each.to_json() for each in rating_scores]} if rating_scores else {}
    measured = {"split": splits.VAL, **scores.to_json(), **of_attributes, **of_ratings}
    card = _card(request, session, temperature, measured)
    heads: Heads = {}
    if predictions.ratings:
        card, heads = _with_ratings(card, session, network, predictions.ratings)
    model = request.out / MODEL
    text = readme(card, scores, attribute_scores, rating_scores)
    save_model(model, network, card, text, request.dtype, heads)
    reason = _add_graph(model, session) if request.graph else ""
    return RunFinished(model, scores, attribute_scores, reason, rating_scores)


def _with_ratings(
    card: Card, session: Session, network: nn.Module, found: RatingPredictions
) -> tuple[Card, Heads]:
    """Return a card with ratings and what reads them, and leave the network without their layer.

    The training pictures are listed by what their files hold, so that `evaluate` leaves them out.
    """
    layer = rating_layer(network)
    assert layer is not None, "its ratings were predicted"
    remove_ratings(network)
    learned = content_hashes(record.path for record in session.training if record.ratings)
    names = [column.name for column in found.columns]
    facts = {BY_EPOCHS: names, "pictures": sorted(learned)}
    training = {**card.training, "ratings": facts}
    return replace(card, ratings=scales_of(found), training=training), layer.head().tensors()


def predict_others(request: TrainingRequest, records: Sequence[Record]) -> Predictions:
    """Predict pictures by the best weights (`BEST`) of a run, as they are stored, and before any temperature.

    Raises `PictureError` for one that cannot be read.
    """
    session = _session_of(request)
    return _predict(session, _stored_network(request, session), records).complete()


def save_measured(
    request: TrainingRequest,
    folder: Path,
    temperature: float,
    scores: Mapping[str, Any],
    describe: Callable[[Card], tuple[Card, str]],
) -> str:
    """Write the model folder of a run whose temperature and scores were measured elsewhere, as by folds.

    `describe` turns the run's card into that of the model, and into its README. Returns why it has no graph,
    if one was wanted.
    """
    session = _session_of(request)
    network = _stored_network(request, session)
    card, text = describe(_card(request, session, temperature, scores))
    save_model(folder, network, card, text, request.dtype)
    return _add_graph(folder, session) if request.graph else ""


def _session_of(request: TrainingRequest) -> Session:
    return open_session(
        request.source,
        request.settings,
        request.device,
        teachers=request.teachers,
        validates=request.validates,
    )


def _add_graph(model: Path, session: Session) -> str:
    """Add a graph that answers for some pictures as the network does; or return why there is none.

    A network that cannot be written as a graph is a model all the same, whose answers are torch's.
    """
    shape = session.preprocessing
    some = EvaluationSet((session.validation or session.training)[:GRAPH_PICTURES], shape, file_reader(shape))
    batches = (batch for batch, _ in evaluation_batches(some, GRAPH_PICTURES, 0) if batch is not None)
    try:
        add_graph(model, normalise(next(batches).pixels, shape))
    except (SettingsError, MissingExtra) as error:
        return str(error)
    return ""


def _best_network(request: TrainingRequest, session: Session) -> nn.Module:
    settings = session.settings
    options = network_options(settings, session.attributes)
    network = catalog.build(settings.network, len(session.source.vocabulary), **options)
    session.add_ratings(network)
    load_weights(request.out / BEST, network)
    return network


def _stored_network(request: TrainingRequest, session: Session) -> nn.Module:
    """The best network, its weights rounded as they are stored."""
    network = _best_network(request, session)
    round_weights(network, request.dtype)
    return network


def _in_use(session: Session, records: Sequence[Record]) -> EvaluationSet:
    shape = session.preprocessing
    return EvaluationSet(records, shape, file_reader(shape), session.attributes, session.ratings)


def _predict(session: Session, network: nn.Module, records: Sequence[Record] = ()) -> Predictions:
    """Predict some pictures, by default those of the validation split."""
    batches = evaluation_batches(_in_use(session, records or session.validation), EVALUATION_BATCH, 0)
    shape = session.preprocessing
    return predict_labelled(network.to(session.device), batches, shape, session.device, IN_USE)


def _score_attributes(session: Session, network: nn.Module) -> AttributeScores | None:
    if not session.attributes or not isinstance(network, HasAttributes):
        return None
    batches = evaluation_batches(_in_use(session, session.validation), EVALUATION_BATCH, 0)
    shape = session.preprocessing
    predictions = predict_attributes(network, batches, shape, session.device, IN_USE)
    return score_attributes(predictions, session.attributes)


def _card(
    request: TrainingRequest,
    session: Session,
    temperature: float,
    scores: Mapping[str, Any],
) -> Card:
    settings, source, record = session.settings, session.source, RunRecord.read(request.out)
    return Card(
        name=request.name,
        network=settings.network,
        network_options=network_options(settings, session.attributes),
        vocabulary=source.vocabulary,
        attributes=session.attributes,
        preprocessing=session.preprocessing,
        temperature=temperature,
        training={
            **record.to_card(),
            "settings": portable_settings(settings),
            "log": read_rows(request.out / LOG),
        },
        scores=scores,
        licences=_licences(source.name, record.start),
        limits=limits(source.name, record.start.name, record.start.limits)
        if record.start
        else limits(source.name),
    )


def _licences(data: str, start: StartRecord | None) -> Mapping[str, str]:
    """Those of the data, and of the model that training started with."""
    of_data = licences(data)
    return merged_licences([start.licences, of_data]) if start else of_data
