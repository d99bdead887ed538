"""Pages of networks: one for each of the catalogue, with what was counted."""

import pytest

import zoo
from affectlens.models import catalog


def test_every_network_of_the_catalogue_has_its_facts_and_its_page() -> None:
    known = zoo.Zoo.read()
    assert {facts.name for facts in known.networks} == set(catalog.NETWORKS)
    for facts in known.networks:
        text = (zoo.OUT / f"{facts.name}.md").read_text(encoding="utf-8")
        assert all(f"{figure.accuracy:.2f} %" in text for figure in facts.figures)
        assert (zoo.OUT.parent / facts.page.partition("#")[0]).is_file()


def test_a_page_has_weights_operations_and_shapes() -> None:
    known = zoo.Zoo.read()
    facts = next(each for each in known.networks if each.name == "deit_tiny")
    text = zoo.page(facts, known)
    # DeiT-Tiny: 5.5 million weights without its 1,000 classes, 1.1 GMAC beyond what attention multiplies
    assert "Weights: 5.5 million" in text
    operations = float(text.split("pixels: ")[1].split()[0])
    assert operations == pytest.approx(1.1, abs=0.2)
    assert "| images | 1 x 3 x 224 x 224 |" in text and " x 197 x 192 |" in text
