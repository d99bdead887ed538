"""Which modules import torch, directly or through others: those of the build half, and none besides."""

import without_torch

# Rooms that build models.
ROOMS = (
    "affectlens.cluster",
    "affectlens.losses",
    "affectlens.models",
    "affectlens.recipes",
    "affectlens.training",
)
# What else needs torch. A module that no longer does leaves the list; none is added.
NAMED = {
    "affectlens.evaluation.evaluate",
    "affectlens.explain.core.activations",
    "affectlens.explain.core.attribution",
    "affectlens.explain.core.aumann_shapley",
    "affectlens.explain.core.baselines",
    "affectlens.explain.core.perturbations",
    "affectlens.explain.core.upsampling",
    "affectlens.explain.explainer",
    "affectlens.explain.faithfulness.compare",
    "affectlens.explain.faithfulness.curves",
    "affectlens.explain.faithfulness.infidelity",
    "affectlens.explain.faithfulness.job",
    "affectlens.explain.faithfulness.sanity",
    "affectlens.explain.features.figure",
    "affectlens.explain.features.visualisation",
    "affectlens.explain.methods.attention",
    "affectlens.explain.methods.cam",
    "affectlens.explain.methods.catalog",
    "affectlens.explain.methods.grad_cam",
    "affectlens.explain.methods.gradient",
    "affectlens.explain.methods.integrated_gradients",
    "affectlens.explain.methods.occlusion",
    "affectlens.explain.methods.options",
    "affectlens.explain.methods.rise",
    "affectlens.explain.methods.smooth_gradient",
    "affectlens.explain.methods.superpixels",
    "affectlens.explain.methods.token_maps",
    "affectlens.explain.story.branches",
    "affectlens.film.peak_maps",
    "affectlens.inference.labelled",
    "affectlens.inference.labelled_batches",
    "affectlens.inference.torch_engine",
}

PROGRAM = """
import importlib, pkgutil
import affectlens

for found in pkgutil.walk_packages(affectlens.__path__, "affectlens."):
    try:
        importlib.import_module(found.name)
    except ImportError as error:
        print(found.name, error.name)
"""


def test_all_but_what_builds_models_is_imported_without_torch() -> None:
    ended = without_torch.run(PROGRAM)
    assert ended.returncode == 0, ended.stderr
    failed = dict(line.split() for line in ended.stdout.splitlines())
    assert {library.partition(".")[0] for library in failed.values()} <= set(without_torch.BUILD_HALF)
    assert {name for name in failed if not name.startswith(ROOMS)} == NAMED
