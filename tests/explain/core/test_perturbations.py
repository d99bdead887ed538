"""What a network answers for a picture with parts replaced."""

import pytest
import torch

from affectlens.errors import SettingsError, UnknownName
from affectlens.explain.core.perturbations import Perturbations
from planted import OneSpot, model_of, noise, white, why_fear


def test_keeping_all_gives_the_picture_and_keeping_nothing_its_replacement() -> None:
    image = noise(0)
    perturbations = Perturbations(model_of(OneSpot()), image, why_fear(), replacement="blurred")
    everything = torch.ones(1, 1, 28, 28)
    torch.testing.assert_close(perturbations.mix(everything), image)
    torch.testing.assert_close(perturbations.mix(0 * everything), perturbations.blank)
    whole, blank = perturbations.endpoints()
    assert perturbations(torch.cat([everything, 0 * everything])).tolist() == pytest.approx([whole, blank])


def test_answers_do_not_depend_on_the_batch_size() -> None:
    kept = (torch.rand(7, 1, 28, 28, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    model, image = model_of(OneSpot()), noise(1)
    alone = Perturbations(model, image, why_fear(), replacement="black", batch_size=1)(kept)
    together = Perturbations(model, image, why_fear(), replacement="black", batch_size=5)(kept)
    torch.testing.assert_close(alone, together)
    assert len(set(alone.tolist())) == 7


def test_an_unknown_replacement_and_an_empty_batch_are_errors() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'blurred'"):
        Perturbations(model_of(OneSpot()), white(), why_fear(), replacement="blured")
    with pytest.raises(SettingsError, match="batch_size is 0"):
        Perturbations(model_of(OneSpot()), white(), why_fear(), batch_size=0)
