"""Which tests run where the base alone is installed: all of the use half, but those of the list."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import without_torch
from halves import ROOMS, SOURCES, TESTS, lacking, left_to_the_base

# Folders and files of tests of rooms that build models.
OF_ROOMS = tuple(room.replace("affectlens.", "") for room in ROOMS)
# Other tests that need more than the base. A file that no longer does leaves the list; none is added.
LEFT_OUT = frozenset(
    {
        "adaptation/test_classifier.py",
        "adaptation/test_deep.py",
        "adaptation/test_estimator.py",
        "adaptation/test_job.py",
        "adaptation/test_label_job.py",
        "adaptation/test_rated_job.py",
        "adaptation/test_validation.py",
        "benchmarks/test_committed_pages.py",
        "benchmarks/test_default_recipe.py",
        "benchmarks/test_frozen_heads.py",
        "benchmarks/test_frozen_levels.py",
        "benchmarks/test_label_noise.py",
        "benchmarks/test_screening.py",
        "benchmarks/test_search.py",
        "benchmarks/test_seeds.py",
        "benchmarks/test_tuning.py",
        "benchmarks/test_zoo.py",
        "cli/test_explain_command.py",
        "cli/test_explain_compare.py",
        "cli/test_own_words.py",
        "cli/test_train.py",
        "cli/test_tune_command.py",
        "explain/core/test_activations.py",
        "explain/core/test_aumann_shapley.py",
        "explain/faithfulness/test_randomised.py",
        "explain/features/test_figure.py",
        "explain/features/test_visualisation.py",
        "explain/methods/test_attention.py",
        "explain/methods/test_cam.py",
        "explain/methods/test_catalog.py",
        "explain/methods/test_class_maps.py",
        "explain/methods/test_grad_cam.py",
        "explain/methods/test_gradient.py",
        "explain/methods/test_integrated_gradients.py",
        "explain/methods/test_smooth_gradient.py",
        "explain/methods/test_superpixels.py",
        "explain/methods/test_token_maps.py",
        "explain/story/test_branches.py",
        "film/report/test_page_in_a_browser.py",
        "export/test_job.py",
        "film/test_without_torch.py",
        "test_examples.py",
        "adaptation/test_rated_evaluation.py",
        "inference/test_rated.py",
        "inference/test_attribute_evidence.py",
        "inference/test_engine.py",
        "inference/test_labelled.py",
        "inference/test_stores.py",
        "inference/test_torch_engine.py",
        "report/test_pages_in_a_browser.py",
        "scripts/test_compare_outputs.py",
        "test_default_model.py",
        "test_losses.py",
        "test_metrics_elsewhere.py",
    }
)


def test_every_test_of_the_use_half_but_those_of_the_list_runs_with_the_base_alone() -> None:
    files = {file.relative_to(TESTS).as_posix(): file for file in TESTS.rglob("test_*.py")}
    others = {name: file for name, file in files.items() if not name.startswith((*OF_ROOMS, "rules/"))}
    assert {name for name, file in others.items() if lacking(file)} == LEFT_OUT


def test_nothing_that_every_test_imports_needs_more() -> None:
    assert [file for file in TESTS.rglob("conftest.py") if lacking(file)] == []


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("import torch", "torch"),
        ("try:\n    import pyarrow.parquet as pq\nexcept ImportError:\n    pq = None", "pyarrow.parquet"),
        ("if True:\n    from torch import nn", "torch"),
        ("class Small:\n    import torch", "torch"),
        ("from affectlens.models import saved", "affectlens.models"),
        ("from affectlens import losses", "affectlens.losses"),
        ("from affectlens.inference import torch_engine", "affectlens.inference.torch_engine"),
        ("import lineages", "lineages"),
        ("import pytest\npytestmark = pytest.mark.needs('torch')", "torch"),
        ("def test_one() -> None:\n    import torch", None),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch", None),
        ("import modules_that_do_not_exist", None),
        ("from affectlens import Predictor, library\nimport graphs", None),
    ],
)
def test_a_file_needs_more_if_importing_it_does(text: str, first: str | None, tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text(text)
    assert lacking(tmp_path / "test_one.py") == first


def test_a_module_of_the_package_needs_more_if_it_is_listed() -> None:
    assert lacking(SOURCES / "affectlens" / "losses.py") == "affectlens.losses"
    assert lacking(SOURCES / "affectlens" / "models" / "__init__.py") == "affectlens.models"
    assert lacking(SOURCES / "affectlens" / "metrics.py") is None


@pytest.mark.parametrize(
    ("file", "left"),
    [
        ("video/test_reader.py", True),
        ("film/export/test_markers.py", True),
        ("test_images.py", True),
        ("test_losses.py", False),  # needs torch
        ("film/test_without_torch.py", False),
        ("cli/test_console.py", True),
        ("cli/test_predict.py", False),  # whose answers come from an engine
        ("inference/test_predictor.py", False),
    ],
)
def test_what_no_library_changes_runs_with_the_base_alone(file: str, left: bool) -> None:
    assert (TESTS / file).is_file()
    assert left_to_the_base(TESTS / file) is left


COLLECT = """
import pytest
sys.exit(pytest.main(["-c", sys.argv[1], "--collect-only", "-q", *sys.argv[2:]]))
"""
PROJECT = TESTS.parent / "pyproject.toml"


def test_pytest_leaves_out_files_and_tests_that_need_more() -> None:
    where = [TESTS / "models", TESTS / "test_machine.py", SOURCES / "affectlens" / "recipes"]
    ended = without_torch.run(COLLECT, PROJECT, *where)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "test_a_description_is_plain_data" in ended.stdout
    for left_out in ("test_networks.py", "test_auto_takes", "recipes"):
        assert left_out not in ended.stdout
    assert re.search(r"tests collected \(\d+ deselected\)", ended.stdout)


def test_pytest_can_leave_out_what_runs_there() -> None:
    command = [sys.executable, "-m", "pytest", "-c", str(PROJECT), "--collect-only", "-q"]
    command += ["--without-base-tests", str(TESTS / "test_machine.py")]
    ended = subprocess.run(command, capture_output=True, text=True)
    # But for the tests of that file that need torch.
    assert re.search(r"[1-9]\d*/\d+ tests collected \([1-9]\d* deselected\)", ended.stdout), ended.stdout


def test_a_file_that_cannot_be_imported_for_another_reason_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text("import modules_that_do_not_exist\n")
    ended = without_torch.run(COLLECT, PROJECT, TESTS / "test_colour.py", tmp_path)
    assert ended.returncode == 2
    assert "No module named 'modules_that_do_not_exist'" in ended.stdout
