"""Fit several labels to a trained model: pictures with any number of labels -> a model folder and a report.

Each label becomes a rating in percent: how many of a hundred people who label pictures give it this label. So
every command that has ratings has labels, which need not sum to anything. The emotions of the model stay as
they are, to the bit, and so do its other ratings.
"""

from collections.abc import Generator, Iterator
from itertools import count

import numpy as np
from numpy.typing import NDArray

from affectlens.adaptation.depths import HEAD
from affectlens.adaptation.embeddings import EmbeddingProgress, embed, folder_of_output, read_embeddings
from affectlens.adaptation.folder import (
    EMBEDDINGS,
    PAGE,
    Finetuned,
    FinetuneRequest,
    ValidationProgress,
    open_folder,
    write_label_report,
)
from affectlens.adaptation.head import known_directions
from affectlens.adaptation.label_report import (
    LabelsReport,
    facts_of_labels,
    how_labels_were_learned,
    report_labels,
)
from affectlens.adaptation.label_source import LabelSource
from affectlens.adaptation.label_validation import binary, fit_label, label_steps, validate_label
from affectlens.adaptation.rated_card import LearnedFacts, learned_readme
from affectlens.adaptation.rated_folder import features_width, write_rated_model
from affectlens.adaptation.start import Start, counted, open_start, single_thread
from affectlens.adaptation.validation import OWN
from affectlens.data.groups import Groups, find_groups, search_for
from affectlens.data.records import digest
from affectlens.errors import SettingsError
from affectlens.extras import ADAPT, require
from affectlens.inference.engine import MANY, load_engine
from affectlens.locks import locked_folder


def fit_labels(
    request: FinetuneRequest, labels: LabelSource
) -> Iterator[EmbeddingProgress | ValidationProgress | Finetuned]:
    """Embed, validate, fit, and write the folder; the last event is `Finetuned`.

    Stopping the iteration anywhere leaves a run to resume, which ends in the same bits. Raises
    `SettingsError` for another depth than `head` and another engine, `MissingExtra`, `DatasetError` for a
    label that all pictures of a part have or lack and pictures that cannot be read, and what `job.fit_head`
    raises for folders and models.
    """
    if request.depth != HEAD:
        raise SettingsError(
            f"Several labels are learned at --depth {HEAD}; {request.depth} learns one word a picture. "
            "Leave --depth out."
        )
    require(ADAPT, "Learning labels")
    start = open_start(request)
    with locked_folder(request.out):
        open_folder(request, start.opened.card, labels.records, labels=labels.to_json())
        features, groups = yield from _embeddings(request, start, labels)
        with single_thread(len(labels.records)):
            yield from _fit(request, start, labels, features, groups)


def _embeddings(
    request: FinetuneRequest, start: Start, labels: LabelSource
) -> Generator[EmbeddingProgress, None, tuple[NDArray[np.float32], Groups]]:
    """Embed the pictures, or read what was kept, and find those that belong together."""
    records, cache = labels.records, folder_of_output(request.cache or request.out / EMBEDDINGS)
    engine = load_engine(str(start.folder), request.engine, precision="float32", many=len(records) >= MANY)
    yield from embed(engine, records, cache)
    return read_embeddings(records, cache), find_groups(records, search_for(len(records)))


def _fit(
    request: FinetuneRequest,
    start: Start,
    labels: LabelSource,
    features: NDArray[np.float32],
    groups: Groups,
) -> Iterator[ValidationProgress | Finetuned]:
    """Measure by cross-validation, then fit to all pictures and write what was found."""
    card, classifier = start.opened.card, start.opened.classifier
    known = known_directions(classifier, card.vocabulary)
    data = [binary(labels, number, features, groups, known) for number in range(len(labels.words))]
    total, done = sum(label_steps(each, request.seed) for each in data), count()
    yield ValidationProgress(next(done), total)
    found = []
    for each in data:
        steps = validate_label(each, classifier, card, request.seed)
        found.append((yield from counted(steps, done, total)))
    names = [groups.leader(record.key) for record in labels.records]
    report = report_labels(labels, found, names, (card.name, card.weights_hash), request.seed)
    width = features_width(start)
    lines = [
        fit_label(each, width, of.temperature, request.seed) for each, of in zip(data, found, strict=True)
    ]
    learned = _facts(request, labels, report)
    table, how = report.markdown(), how_labels_were_learned(report)
    model = write_rated_model(
        request, start, [each.scale for each in report.labels], lines, learned,
        lambda new: learned_readme(new, "Learned labels", report.findings(), table, how),
    )  # fmt: skip
    write_label_report(request.out, report, labels, [each.probabilities[OWN] for each in found])
    yield Finetuned(model, request.out / PAGE, report)


def _facts(request: FinetuneRequest, labels: LabelSource, report: LabelsReport) -> LearnedFacts:
    facts = {
        "labels": facts_of_labels(report),
        "data": {"spec": request.data, "pictures": report.pictures, "groups": report.groups,
                 "hash": digest(labels.records), **labels.to_json()},
        "seed": report.seed,
        "command": request.command,
    }  # fmt: skip
    return LearnedFacts(
        names=labels.words, facts=facts, figures={}, records=labels.records, data=labels.source.name,
        what="labelled",
    )  # fmt: skip
