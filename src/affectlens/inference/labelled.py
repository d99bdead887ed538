"""Run a network over labelled pictures: batches -> predictions and targets.

Letters: B pictures of a batch, N pictures, E emotions, W words of an attribute.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from affectlens.errors import DatasetError, SettingsError
from affectlens.inference.labelled_batches import Batch, Unreadable
from affectlens.machine import autocast
from affectlens.models.capabilities import HasAttributes
from affectlens.preprocess import Preprocessing

LabelledBatches = Iterable[tuple[Batch | None, Sequence[Unreadable]]]


@dataclass(frozen=True)
class Predictions:
    """What a network predicts for N pictures and what is true of them, in record order.

    Attributes:
        logits: float32 (N, E), on the CPU
        targets: float32 (N, E)
        keys: the records' keys
        unreadable: pictures that are in none of the above
    """

    logits: Tensor
    targets: Tensor
    keys: tuple[str, ...]
    unreadable: tuple[Unreadable, ...]


@dataclass(frozen=True)
class AttributePredictions:
    """What a network that answers attributes predicts for N pictures and what is true of them.

    Attributes:
        logits, targets: of emotions, (N, E)
        residual: what has no name, (N, E), less `usual_residual`
        usual, usual_residual: of the usual picture, (E,)
        from_attributes: whether emotions are read from attributes at all
        words: by name, logits (N, W)
        truth: by name, as `labelled_batches.attribute_tensors` gives it
    """

    logits: Tensor
    targets: Tensor
    residual: Tensor
    usual: Tensor
    usual_residual: Tensor
    from_attributes: bool
    words: Mapping[str, Tensor]
    truth: Mapping[str, Tensor]


def concatenate(parts: Sequence[Predictions]) -> Predictions:
    """Put the predictions for parts of the pictures together, in the order given."""
    if len(parts) == 1:
        return parts[0]
    return Predictions(
        torch.cat([part.logits for part in parts]),
        torch.cat([part.targets for part in parts]),
        tuple(key for part in parts for key in part.keys),
        tuple(bad for part in parts for bad in part.unreadable),
    )


def predict_labelled(
    network: nn.Module,
    batches: LabelledBatches,
    preprocessing: Preprocessing,
    device: torch.device,
    precision: torch.dtype,
    progress: Callable[[int], None] = lambda done: None,
) -> Predictions:
    """Predict all batches in evaluation mode. `progress` is called with how many pictures each step read.

    Raises `DatasetError` when not one picture could be read.
    """
    network.eval()
    logits: list[Tensor] = []
    targets: list[Tensor] = []
    keys: list[str] = []
    unreadable: list[Unreadable] = []
    for batch, bad in batches:
        unreadable += bad
        if batch is not None:
            logits.append(forward(network, batch.pixels, preprocessing, device, precision))
            targets.append(batch.targets)
            keys += batch.keys
        progress(len(bad) + (len(batch.keys) if batch else 0))
    if not logits:
        first = f" The first: {unreadable[0].error}" if unreadable else ""
        raise DatasetError(f"Not one picture could be read.{first}")
    return Predictions(torch.cat(logits), torch.cat(targets), tuple(keys), tuple(unreadable))


def forward(
    network: nn.Module,
    pixels: Tensor,
    preprocessing: Preprocessing,
    device: torch.device,
    precision: torch.dtype,
) -> Tensor:
    """Run one batch through a network: uint8 (B, 3, H, W) -> logits, float32 (B, E), on the CPU."""
    with torch.inference_mode(), autocast(device, precision):
        images = preprocessing.normalise(pixels.to(device, non_blocking=True))
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
            images = preprocessing.normalise(batch.pixels.to(device))
            found = network.explain(images.contiguous(memory_format=torch.channels_last))
        parts.append(
            AttributePredictions(
                logits=found.logits.cpu(),
                targets=batch.targets,
                residual=found.residual.cpu(),
                usual=found.usual.cpu(),
                usual_residual=found.usual_residual.cpu(),
                from_attributes=bool(found.contributions),
                words={name: logits.cpu() for name, logits in found.attributes.items()},
                truth=batch.attributes,
            )
        )
    return replace(
        parts[0],
        logits=torch.cat([part.logits for part in parts]),
        targets=torch.cat([part.targets for part in parts]),
        residual=torch.cat([part.residual for part in parts]),
        words={name: torch.cat([part.words[name] for part in parts]) for name in parts[0].words},
        truth={name: torch.cat([part.truth[name] for part in parts]) for name in parts[0].truth},
    )
