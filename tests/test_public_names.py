"""What the package promises to those who import it."""

import pytest

import affectlens


@pytest.mark.parametrize("name", affectlens.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(affectlens, name) is not None


def test_a_misspelt_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Predictr"):
        _ = affectlens.Predictr
