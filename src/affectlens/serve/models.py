"""A model as the service holds it: loaded once, for predictions and for explanations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Any, NamedTuple

import numpy as np

from affectlens.decoding import Cancelled
from affectlens.emotions import POLARITY, Vocabulary
from affectlens.errors import PictureError
from affectlens.explain.colour_scale import full_strength, scale_of
from affectlens.explain.core.engine_model import EngineModel
from affectlens.explain.core.heatmap import Heatmap
from affectlens.explain.explainer import Explainer, Explanation, ExplanationRequest
from affectlens.explain.faithfulness.curves import RemovalOptions
from affectlens.explain.methods.catalog import default_for
from affectlens.images import encode_png
from affectlens.inference.engine import AUTO, Engine, Out, load_engine
from affectlens.inference.fitting import FittedPicture
from affectlens.inference.output.rows import PredictionRow
from affectlens.inference.predictor import Prediction, Predictor
from affectlens.preprocess import Images
from affectlens.report.emotion_colours import colours_of
from affectlens.report.heatmaps import overlay_layer
from affectlens.report.html import data_url
from affectlens.serve.decoders import DecodedPicture
from affectlens.serve.requests import ExplainFields
from affectlens.version import VERSION

# A model whose own method this is, is explained by the other, which needs far fewer perturbed pictures.
SLOW, INSTEAD_OF_SLOW = "rise", "occlusion"
MAP_SIDE, OVERLAY_SIDE = 48, 768  # of the longer side: of the map as numbers, and as a layer for the picture
MAP_DIGITS = 4


class RowOptions(NamedTuple):
    """What is requested of a row besides emotions, as `Predictor.predict_files` takes it."""

    attributes: bool = False
    coverage: float | None = None


@dataclass(frozen=True)
class InterruptibleModel(EngineModel):
    """A model that stops answering, by `Cancelled`, once an event is set: between two of its batches."""

    stop: Event = field(default_factory=Event)

    def _run(self, predict: Callable[[Images], Out], images: Images) -> list[Out]:
        def unless_stopped(part: Images) -> Out:
            if self.stop.is_set():
                raise Cancelled
            return predict(part)

        return super()._run(unless_stopped, images)


class ServedModel:
    """One model. May be used from several threads."""

    def __init__(self, engine: Engine, batch_size: int = 1) -> None:
        """Hold a model; `batch_size` is of devices other than the CPU.

        On a CPU pictures that are predicted at the same time have a core each: batches were not faster.
        """
        self.engine, self.card = engine, engine.card
        self.at_once = 1 if engine.device == "cpu" else batch_size
        self.predictor = Predictor(engine)
        self.loading = {
            "model": "",
            "engine": engine.name,
            "device": engine.device,
            "precision": engine.precision,
        }

    @classmethod
    def load(
        cls, name: str, batch_size: int, engine: str = AUTO, device: str = "auto", precision: str = "auto"
    ) -> "ServedModel":
        """Load a model by name or folder. Raises as `inference.engine.load_engine`."""
        model = cls(load_engine(name, engine, device, precision), batch_size)
        model.loading["model"] = name
        return model

    def check(self, options: RowOptions) -> None:
        """Raise `SettingsError` for what cannot be requested of this model."""
        self.predictor.row_schema(**options._asdict())

    def rows(self, options: RowOptions, pictures: Sequence[tuple[str, FittedPicture]]) -> list[PredictionRow]:
        """Predict up to `at_once` pictures by their names, and return their rows.

        A row is the same to the last digit, whatever other pictures are predicted with it: all go through
        the network in batches of one size, on a CPU of one picture and on one core.
        """
        blank = FittedPicture(np.zeros_like(pictures[0][1].pixels), {})
        batch = [*pictures, *[("", blank)] * (self.at_once - len(pictures))]

        def predict(several: Sequence[tuple[str, FittedPicture]]) -> list[Prediction]:
            return self.predictor.predict_fitted(several, **options._asdict())

        # By `map`, which has it done on one core.
        (found,) = self.engine.map(predict, [batch])
        return [each.to_row(self.card) for each in found[: len(pictures)]]

    def warm_up(self) -> None:
        """Predict once, so that the first picture need not wait for what is made then."""
        size = self.card.preprocessing
        self.rows(RowOptions(), [("", FittedPicture(np.zeros((size.height, size.width, 3), np.uint8)))])

    def failed(self, options: RowOptions, error: PictureError) -> PredictionRow:
        """Return the row of a picture that could not be read."""
        return self.predictor.failed(error, **options._asdict()).to_row(self.card)

    def check_explanation(self, fields: ExplainFields) -> None:
        """Raise `SettingsError` or `UnknownName` for what this model cannot explain."""
        Explainer(EngineModel(self.engine), self._method(fields)).check(_request_of(fields))

    def _method(self, fields: ExplainFields) -> str | None:
        """The method that was named, None for the model's own, or one in place of its own that is slow."""
        own = default_for(EngineModel(self.engine))
        return fields.method or (INSTEAD_OF_SLOW if own == SLOW else None)

    def explain(
        self, name: str, picture: DecodedPicture, fields: ExplainFields, stop: Event
    ) -> dict[str, Any]:
        """Explain a decoded picture. Raises `SettingsError`, `UnknownName`, and `Cancelled`."""
        explainer = Explainer(InterruptibleModel(self.engine, stop), self._method(fields))
        prepared = explainer.prepare_pixels(name, picture.size, picture.pixels)
        fitted = FittedPicture(self.card.preprocessing.fit_pixels(picture.pixels))
        (row,) = self.rows(RowOptions(), [(name, fitted)])
        explanation = explainer.explain_prepared(prepared, _request_of(fields))
        return {
            "prediction": row,
            "width": picture.size[1],
            "height": picture.size[0],
            "method": explanation.heatmaps[0].method,
            "explanations": _maps_of(explanation, fields),
            "story": explanation.sentences() if fields.story else None,
        }

    def describe(self) -> dict[str, Any]:
        """Describe the model to clients."""
        card = self.card
        return {
            "name": card.name,
            "weights": card.weights_id or None,
            "version": VERSION,
            "engine": self.engine.name,
            "precision": self.engine.precision,
            "emotions": describe_emotions(card.vocabulary),
            "ratings": [{"name": scale.name, "low": scale.low, "high": scale.high} for scale in card.ratings],
            "attributes": list(self.predictor.attribute_names),
            "coverage": bool(card.prediction_sets),
            "licences": dict(card.licences),
            "limits": list(card.limits),
        }


def describe_emotions(vocabulary: Vocabulary) -> list[dict[str, Any]]:
    """Describe the words of a vocabulary to clients: name, polarity (or None) and colour.

    >>> describe_emotions(POLARITY)[1]["polarity"]
    'negative'
    """
    colours, signs = colours_of(vocabulary), vocabulary.signs
    sides = dict(zip((1, -1), POLARITY.words, strict=True))
    return [
        {"name": word, "polarity": sides.get(signs[word]), "colour": colours[word]}
        for word in vocabulary.words
    ]


def _request_of(fields: ExplainFields) -> ExplanationRequest:
    return ExplanationRequest(
        emotions=tuple(fields.emotions),
        against=fields.against,
        effects=fields.story,
        removal=RemovalOptions() if fields.faithfulness else None,
        keep_pixels=False,
    )


def _maps_of(explanation: Explanation, fields: ExplainFields) -> list[dict[str, Any]]:
    """Describe each heat map: as numbers, and as a layer; all on one scale of colours."""
    found = explanation.to_json()["explanations"]
    layers = [each.at(*_within(each.size, OVERLAY_SIDE)) for each in explanation.heatmaps]
    scale = scale_of(explanation.heatmaps)
    names = fields.emotions or [explanation.heatmaps[0].question.favour[0]]  # else the likeliest
    return [
        {
            "emotion": emotion,
            "against": fields.against,
            "question": plain["question"],
            "unit": plain["unit"],
            "map": _map_of(heatmap),
            "overlay": data_url(encode_png(overlay_layer(layer, full_strength(heatmap, scale))), "image/png"),
            "regions": plain["places"],
            "faithfulness": plain["details"].get("faithfulness"),
        }
        for emotion, heatmap, plain, layer in zip(names, explanation.heatmaps, found, layers, strict=True)
    ]


def _map_of(heatmap: Heatmap) -> dict[str, Any]:
    """Write a map as rows of cells over the complete picture; None where the model did not see it."""
    rows, columns = _within(heatmap.size, MAP_SIDE)
    values = heatmap.at(rows, columns).ravel()
    plain = [None if np.isnan(value) else round(float(value), MAP_DIGITS) for value in values]
    return {"rows": rows, "columns": columns, "values": plain}


def _within(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Bring (H, W) to the longer side given."""
    height, width = size
    shrink = longest / max(size)
    return max(1, round(height * shrink)), max(1, round(width * shrink))
