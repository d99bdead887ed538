"""Run a network in torch over labelled pictures, as training does: batches -> predictions and targets.

Letters: B pictures of a batch, E emotions.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.inference.attribute_evidence import ExplainedAttributes
from affectlens.inference.labelled_batches import Batch
from affectlens.inference.predictions import (
    AttributePredictions,
    Predictions,
    RatingPredictions,
    Unreadable,
    concatenate_attributes,
    labelled_attributes,
    require_readable,
)
from affectlens.machine import autocast
from affectlens.models.capabilities import AttributeExplanation, HasAttributes
from affectlens.models.network_input import normalise
from affectlens.models.rated import rating_layer, reading_ratings
from affectlens.preprocess import Preprocessing

LabelledBatches = Iterable[tuple[Batch | None, Sequence[Unreadable]]]


def predict_labelled(
    network: nn.Module,
    batches: LabelledBatches,
    preprocessing: Preprocessing,
    device: torch.device,
    precision: torch.dtype,
    progress: Callable[[int], None] = lambda done: None,
) -> Predictions:
    """Predict all batches in evaluation mode. `progress` is called with how many pictures each step read.

    Of a network with a layer for ratings these too, where the batches hold people's. Raises `DatasetError`
    when not one picture could be read.
    """
    network.eval()
    logits: list[Tensor] = []
    targets: list[Tensor] = []
    shares: list[Tensor] = []
    rated: list[Tensor] = []
    keys: list[str] = []
    unreadable: list[Unreadable] = []
    for batch, bad in batches:
        unreadable += bad
        if batch is not None:
            with reading_ratings(network) as read:
                logits.append(forward(network, batch.pixels, preprocessing, device, precision))
                with torch.inference_mode():
                    found = read()
            if found is not None and batch.ratings is not None:
                shares.append(found.float().cpu())
                rated.append(batch.ratings)
            targets.append(batch.targets)
            keys += batch.keys
        progress(len(bad) + (len(batch.keys) if batch else 0))
    require_readable(len(keys), unreadable)
    return Predictions(
        torch.cat(logits).numpy(),
        torch.cat(targets).numpy(),
        tuple(keys),
        tuple(unreadable),
        _rating_predictions(network, shares, rated),
    )


def _rating_predictions(
    network: nn.Module, shares: Sequence[Tensor], rated: Sequence[Tensor]
) -> RatingPredictions | None:
    layer = rating_layer(network)
    if layer is None or not shares:
        return None
    return RatingPredictions(layer.columns, torch.cat(list(shares)).numpy(), torch.cat(list(rated)).numpy())


def forward(
    network: nn.Module,
    pixels: Tensor,
    preprocessing: Preprocessing,
    device: torch.device,
    precision: torch.dtype,
) -> Tensor:
    """Run one batch through a network: uint8 (B, 3, H, W) -> logits, float32 (B, E), on the CPU."""
    with torch.inference_mode(), autocast(device, precision):
        images = normalise(pixels.to(device, non_blocking=True), preprocessing)
        images = images.contiguous(memory_format=torch.channels_last)
        output: Tensor = network(images).float().cpu()
    return output


def predict_attributes(
    network: nn.Module,
    batches: LabelledBatches,
    preprocessing: Preprocessing,
    device: torch.device,
    precision: torch.dtype,
) -> AttributePredictions:
    """Predict attributes and emotions of all pictures that can be read, in evaluation mode.

    The batches must hold the attributes (`labelled_batches.EvaluationSet`). Raises `SettingsError` for a
    network that answers none.
    """
    network.eval()
    if not isinstance(network, HasAttributes):
        raise SettingsError("This network answers no attributes: choose one that does, as vit_attributes.")
    parts = []
    for batch, _ in batches:
        if batch is None:
            continue
        with torch.inference_mode(), autocast(device, precision):
            images = normalise(batch.pixels.to(device), preprocessing)
            found = network.explain(images.contiguous(memory_format=torch.channels_last))
        truth = {name: tensor.numpy() for name, tensor in batch.attributes.items()}
        parts.append(labelled_attributes(as_arrays(found), batch.targets.numpy(), truth))
    return concatenate_attributes(parts)


def as_arrays(found: AttributeExplanation) -> ExplainedAttributes:
    """Turn the tensors of an explanation into arrays of float32."""
    return ExplainedAttributes(
        logits=_floats(found.logits),
        attributes={name: _floats(each) for name, each in found.attributes.items()},
        contributions={name: _floats(each) for name, each in found.contributions.items()},
        residual=_floats(found.residual),
        usual=_floats(found.usual),
        usual_words={name: _floats(each) for name, each in found.usual_words.items()},
        usual_residual=_floats(found.usual_residual),
    )


def _floats(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.float().cpu().numpy()
    return array
