"""The header of a README as the hub's own library reads it."""

from dataclasses import replace
from typing import Any

from huggingface_hub import ModelCard

from affectlens import library
from affectlens.library.hub_card import front_matter
from affectlens.library.text import readme_beginning
from model_folders import CARD


def test_the_hub_reads_scores_data_and_use() -> None:
    card = library.card()
    read: Any = ModelCard(readme_beginning(card)).data
    found = {each.metric_type: each.metric_value for each in read.eval_results}
    assert abs(found["accuracy"] - card.scores["accuracy"]) < 1e-4
    assert abs(found["f1"] - card.scores["macro_f1"]) < 1e-4
    assert {each.dataset_type for each in read.eval_results} == {"fi"} == set(read.datasets)
    assert {each.dataset_split for each in read.eval_results} == {"val"}
    assert (read.library_name, read.pipeline_tag) == ("affectlens", "image-classification")
    assert read.license_name == "research-use" and card.vocabulary.name in read.tags


def test_own_pictures_have_no_name_on_the_hub_and_odd_names_do_no_harm() -> None:
    scores = {"split": "cross-validation", "accuracy": 0.5}
    card = replace(CARD, name='a "b": [c]\n# d', training={"data": {"spec": "folder"}}, scores=scores)
    read: Any = ModelCard(front_matter(card) + "\n").data
    assert read.get("datasets") is None and read.model_name == card.name
    assert [each.dataset_name for each in read.eval_results] == ["pictures of its makers"]


def test_a_model_that_was_not_measured_states_no_scores() -> None:
    read: Any = ModelCard(front_matter(replace(CARD, scores={})) + "\n").data
    assert read.eval_results is None and read.get("metrics") is None


def test_the_default_model_has_the_header_of_its_card() -> None:
    assert library.readme().startswith(front_matter(library.card()) + "\n")
