"""Networks by name, each with where it comes from and how it is built.

A name of the catalogue comes first; any other name that timm has is a plain classifier of that name.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from affectlens.errors import SettingsError, UnknownName
from affectlens.models import backbones, ensemble, mam, mlm, multilevel, pdanet, vit_attributes, wscnet
from affectlens.models.network_entry import DROPPED, NetworkEntry, composed, plain
from affectlens.preprocess import ExpectedInput

MLM_SOURCE = "Zhang et al., Neural Computing and Applications 2022"
MLM_OPTIONS = ("backbone", "style_width", "dropout", "fusion")
MAM_SOURCE = "Zhang et al., Multimedia Tools and Applications 2023"
MAM_OPTIONS = (
    "backbone",
    "num_tokens",
    "token_width",
    "branch_width",
    "attributes_width",
    "relation",
    "dropout",
    "fusion",
)

ATTRIBUTES_SOURCE = "ours, see models/vit_attributes.py; attributes of Yang et al., ICCV 2023"
ATTRIBUTES_OPTIONS = (
    "backbone",
    "concepts",
    "residual_dropout",
    "detach",
    "drop_path",
    "dropout",
    "attributes",
    "weigh_tasks",
)


def _ensemble(config: ensemble.EnsembleConfig) -> nn.Module:
    return ensemble.ensemble(config, find, build)


def _first_backbone(options: Mapping[str, Any]) -> str:
    """The backbone of an ensemble's first member, as whose images those of the ensemble are normalised."""
    first = next(iter(options["members"]), None)
    return find(first).timm_backbone(next(iter(options["member_options"]), {})) if first else ""


NETWORKS: Mapping[str, NetworkEntry] = {
    entry.name: entry
    for entry in (
        composed("pair",
                 "a small transformer and a small convolutional network, averaged: the default of 0.1",
                 "ours, see models/ensemble.py", ensemble.pair, ensemble.PairConfig,
                 ("transformer", "convolutional", "drop_path", "dropout", "patch_dropout",
                  "convolutional_size", "mirror"),
                 backbone="transformer"),
        composed("ensemble",
                 "any number of networks, averaged: what `models join` makes of trained models",
                 "ours, see models/ensemble.py", _ensemble, ensemble.EnsembleConfig,
                 ("members", "member_options", "sizes", "drop_path", "dropout", "patch_dropout", "mirror"),
                 backbone=_first_backbone),
        composed("mlm_paper", "MLM: Gram matrices of stem, stage 1 and stage 2 with the deep features",
                 MLM_SOURCE, mlm.MLM, mlm.MLMConfig, (*MLM_OPTIONS, "reduction", "triangle"), release=False),
        composed("mlm_release", "MLM as its script computes it: each map one layer lower, raw Gram matrices",
                 MLM_SOURCE, mlm.MLM, mlm.MLMConfig, MLM_OPTIONS, release=True),
        composed("mam_paper", "MAM: Gram encoders early, semantic tokenizers later",
                 MAM_SOURCE, mam.MAM, mam.MAMConfig, (*MAM_OPTIONS, "triangle"), release=False),
        composed("mam_release", "MAM as its script has it: semantic tokenizers on all maps",
                 MAM_SOURCE, mam.MAM, mam.MAMConfig, MAM_OPTIONS, release=True),
        composed("wscnet", "WSCNet: a map of where emotions are, learned from labels, weighs the features",
                 "Yang et al., CVPR 2018", wscnet.WSCNet, wscnet.WSCNetConfig,
                 ("backbone", "maps_per_emotion", "pooling", "coupling")),
        composed("pdanet", "PDANet: attention over channels and cells of ResNet-101's last map",
                 "Zhao et al., ACM MM 2019", pdanet.PDANet, pdanet.PDANetConfig,
                 ("backbone", "spatial_mean")),
        composed("multilevel", "MultiLevel: a backbone read at several levels by a perceptron",
                 "ours, see models/multilevel.py", multilevel.MultiLevel, multilevel.MultiLevelConfig,
                 ("backbone", "levels", "hidden", "input_dropout", "dropout", "drop_path")),
        replace(
            composed("vit_attributes", "ViT-B/16 that names scene, objects and more, and predicts by them",
                     ATTRIBUTES_SOURCE, vit_attributes.AttributesNetwork, vit_attributes.AttributesConfig,
                     ATTRIBUTES_OPTIONS),
            attributes=True,
        ),
        plain("deit_tiny", "DeiT-Tiny: small and fast",
              "Touvron et al., ICML 2021", "deit_tiny_patch16_224.fb_in1k"),
        plain("vit", "ViT-B/16, pretrained on ImageNet-21k",
              "Dosovitskiy et al., ICLR 2021", "vit_base_patch16_224.augreg_in21k"),
        plain("resnet50", "ResNet-50, the field's usual baseline",
              "He et al., CVPR 2016", "resnet50.tv_in1k"),
        plain("alexnet", "AlexNet, torchvision's",
              "Krizhevsky, arXiv 1404.5997, 2014", "alexnet.tv_in1k"),
        plain("vgg16", "VGG-16",
              "Simonyan and Zisserman, ICLR 2015", "vgg16.tv_in1k"),
        plain("densenet121", "DenseNet-121",
              "Huang et al., CVPR 2017", "densenet121.tv_in1k"),
        plain("bot", "BoTNet-26: attention in the last stages of a ResNet, 256 pixels",
              "Srinivas et al., CVPR 2021", "botnet26t_256.c1_in1k"),
    )
}  # fmt: skip


def find(name: str) -> NetworkEntry:
    """Return a network of the catalogue, or timm's of that name. Raises `UnknownName`."""
    if name in NETWORKS:
        return NETWORKS[name]
    if backbones.known(name):
        return plain(name, f"timm's {name}", "see timm", name)
    raise UnknownName("network", name, NETWORKS, "the catalogue, and timm has none of that name")


def expected_input(name: str, options: Mapping[str, Any]) -> ExpectedInput:
    """Return which images a network's backbone was trained on.

    `options` are those that it is built with. Raises `UnknownName` for a network.
    """
    return find(name).expected_input(options)


def build(name: str, num_emotions: int, *, weights: str = backbones.NONE, **options: Any) -> nn.Module:
    """Build a network for a number of emotions.

    Raises `UnknownName` for a network, `SettingsError` for an option that it does not have.
    """
    entry = find(name)
    strange = sorted(set(options) - set(entry.options))
    if strange:
        allowed = ", ".join(entry.options) or "none"
        raise SettingsError(f"The network {name} has no option {strange[0]!r}. Its options: {allowed}.")
    for option, value in options.items():
        default = entry.options[option]
        if not _is_like(value, default):
            raise SettingsError(f"{option} of the network {name} must be like {default!r}, not {value!r}.")
        if option in DROPPED and not 0 <= value < 1:
            raise SettingsError(f"{option} of the network {name} is a fraction below 1, not {value}.")
    return entry.build(num_emotions, weights=weights, **{**entry.options, **options})


def _is_like(value: Any, default: Any) -> bool:
    """Whether an option's value is of the type of its default; a whole number does for a fraction."""
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(default, list | tuple):
        return isinstance(value, list | tuple)  # a settings file knows lists alone
    return default is None or type(value) is type(default)
