"""Predictions for labelled pictures as arrays, in record order."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from affectlens.errors import DatasetError, PictureDamaged
from affectlens.inference.labelled import predict_labelled
from affectlens.inference.labelled_batches import Batch
from affectlens.inference.predictions import Predictions, Unreadable, concatenate
from affectlens.preprocess import Preprocessing

SIZE = Preprocessing(height=4, width=4)
BROKEN = Unreadable("broken", PictureDamaged(Path("broken.jpg"), "it is torn"))


class MeanColour(nn.Module):
    """Logits that are the mean of each channel, so that each row is its picture's: (B, 3, H, W) -> (B, 3)."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3))


def batch(values: Sequence[int]) -> Batch:
    """Pictures of one grey each, whose target is the first of three emotions."""
    pixels = torch.tensor(values, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 4, 4)
    return Batch(pixels, torch.eye(3)[[0] * len(values)], tuple(map(str, values)))


def predicted(batches: Sequence[tuple[Batch | None, Sequence[Unreadable]]]) -> Predictions:
    return predict_labelled(MeanColour(), batches, SIZE, torch.device("cpu"), torch.float32)


def test_predictions_are_float32_arrays_in_record_order_without_unreadable_pictures() -> None:
    found = predicted([(batch([10, 200]), [BROKEN]), (None, [BROKEN]), (batch([90]), [])])
    assert isinstance(found.logits, np.ndarray) and isinstance(found.targets, np.ndarray)
    assert found.logits.dtype == found.targets.dtype == np.float32
    assert found.keys == ("10", "200", "90") and found.unreadable == (BROKEN, BROKEN)
    expected = (np.array([[10], [200], [90]]) / 255 - SIZE.mean) / SIZE.std
    np.testing.assert_allclose(found.logits, expected, rtol=1e-5)
    assert found.targets.tolist() == [[1, 0, 0]] * 3


def test_parts_of_the_pictures_are_put_together_in_the_order_given() -> None:
    parts = [predicted([(batch([10, 200]), [BROKEN])]), predicted([(batch([90]), [])])]
    complete = concatenate(parts)
    np.testing.assert_array_equal(complete.logits, np.concatenate([part.logits for part in parts]))
    assert complete.logits.dtype == complete.targets.dtype == np.float32
    assert (len(complete.targets), complete.keys, complete.unreadable) == (3, ("10", "200", "90"), (BROKEN,))


def test_a_split_without_a_readable_picture_is_an_error_with_the_first_reason() -> None:
    with pytest.raises(DatasetError, match=r"Not one picture could be read\..*it is torn"):
        predicted([(None, [BROKEN])])
