"""Ensembles of small networks that answer together: the mean of their log-probabilities.

Ours, no paper. Networks of one size that were trained alike but see differently (patches that attend to
one another; local filters) make different mistakes; the mean of their answers is better and better
calibrated than any of them (Lakshminarayanan et al., "Simple and Scalable Predictive Uncertainty
Estimation using Deep Ensembles", NeurIPS 2017; there the members differ by seed only). What it gains here is
measured in docs/results/default.md. Together they are smaller than one ResNet-50 by far.

`ensemble` has any number of members; `pair` is one of two, a transformer and a convolutional network, whose
branches are named so.

Letters: B images, H x W pixels, E emotions.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.models import backbones
from affectlens.models.capabilities import Division, HasBranches
from affectlens.models.network_entry import NetworkEntry


@dataclass(frozen=True, kw_only=True)
class EnsembleConfig:
    """Any number of networks, which may be the same; each a branch of the ensemble.

    `members` are names of the catalogue, or timm's; `member_options` the options of each, in their order, or
    none. `drop_path` and `dropout` act in all plain networks of timm that are trained together;
    `patch_dropout` in transformers alone: in training these see a picture without so many of its patches
    (see `network_entry`). A member with options of its own has these instead.

    Images are normalised as the weights of the first member expect; the ensemble renormalises them for the
    others, and makes them `sizes` pixels high and wide, of each member: 0, or no sizes, leaves them as they
    are. With `mirror` an answer is the mean of those to the picture and to its mirror image, outside
    training.
    """

    num_emotions: int
    members: Sequence[str] = ("deit_tiny_patch16_224.fb_in1k", "mobilenetv2_100.ra_in1k")
    member_options: Sequence[Mapping[str, Any]] = ()
    sizes: Sequence[int] = ()
    weights: str = backbones.NONE
    drop_path: float = 0.0
    dropout: float = 0.0
    patch_dropout: float = 0.0
    mirror: bool = False


@dataclass(frozen=True, kw_only=True)
class PairConfig:
    """Two timm networks; `drop_path` acts in the transformer, `dropout` before both classifiers.

    All else is as in `EnsembleConfig`; `convolutional_size` is the one size that can be given.
    """

    num_emotions: int
    transformer: str = "deit_tiny_patch16_224.fb_in1k"
    convolutional: str = "mobilenetv2_100.ra_in1k"
    weights: str = backbones.NONE
    drop_path: float = 0.0
    dropout: float = 0.0
    patch_dropout: float = 0.0
    convolutional_size: int = 0
    mirror: bool = False


class Branch(NamedTuple):
    """What one branch of an ensemble is.

    Attributes:
        network: its name in the catalogue, or timm's
        backbone: timm's name of the network by whose weights its images are normalised
        size: height and width in pixels of the images that it sees, 0 for those of the ensemble
        options: that it is built with
    """

    network: str
    backbone: str
    size: int
    options: Mapping[str, Any]


class Ensemble(nn.Module):
    """Images to logits, (B, 3, H, W) -> (B, E): the mean of all branches' log-probabilities.

    Attributes:
        members: by the names of the branches, each a submodule of that name: (B, 3, H, W) -> (B, E)
        mirror: see `EnsembleConfig`
    """

    def __init__(
        self, members: Mapping[str, Branch], networks: Sequence[nn.Module], mirror: bool = False
    ) -> None:
        """Put networks together in this order; images come as the first one's weights expect them."""
        super().__init__()
        self.members, self.mirror = dict(members), mirror
        for name, network in zip(members, networks, strict=True):
            self.add_module(name, network)
        given = backbones.statistics(next(iter(members.values())).backbone)
        # What each is shown of the images that the ensemble is given; without weights.
        self.shown = nn.ModuleDict({name: _shown(given, member) for name, member in members.items()})

    def forward(self, images: Tensor) -> Tensor:
        return _mean(self.answers(images))

    def branches(self, images: Tensor) -> list[Tensor]:
        """Logits of each branch for itself, (B, E) each: each is trained as if it were alone."""
        return [self.get_submodule(name)(self.shown[name](images)) for name in self.members]

    def answers(self, images: Tensor) -> list[Tensor]:
        """Log-probabilities of each branch, (B, E) each, averaged over the views of a picture."""
        views = 2 if self.mirror and not self.training else 1
        seen = torch.cat([images, images.flip(3)]) if views == 2 else images
        logs = [logits.float().log_softmax(dim=1) for logits in self.branches(seen)]
        return [log.reshape(views, images.shape[0], -1).mean(dim=0) for log in logs]

    def scale_branches(self, temperatures: Sequence[float]) -> None:
        """Divide each branch's logits by its temperature, for good, in the weights of its classifier.

        A branch that is less sure than it is right would otherwise count too little in the mean.
        """
        with torch.no_grad():
            for name, temperature in zip(self.members, temperatures, strict=True):
                branch: Any = self.get_submodule(name)
                for parameter in branch.get_classifier().parameters():
                    parameter.div_(temperature)

    def branch_networks(self) -> dict[str, nn.Module]:
        """Return each branch by name as a network of its own, with the views of the ensemble."""
        return {name: OneBranch(self, index) for index, name in enumerate(self.members)}

    def divisions(self) -> tuple[Division]:
        """One: the answers of all branches."""

        def describe(images: Tensor) -> dict[str, Tensor]:
            return dict(zip(self.members, self.answers(images), strict=True))

        def answer(parts: Mapping[str, Tensor]) -> Tensor:
            return _mean([parts[name] for name in self.members])

        return (Division({name: name for name in self.members}, describe, answer),)


class OneBranch(nn.Module):
    """One branch of an ensemble as a network of its own, by its index: (B, 3, H, W) -> (B, E)."""

    def __init__(self, network: Ensemble, index: int) -> None:
        super().__init__()
        self.network = network
        self.index = index

    def forward(self, images: Tensor) -> Tensor:
        return self.network.answers(images)[self.index]


def ensemble(
    config: EnsembleConfig, find: Callable[[str], NetworkEntry], build: Callable[..., nn.Module]
) -> Ensemble:
    """Build an ensemble; `find` and `build` are those of the catalogue that knows its members.

    Raises `UnknownName` for a member; `SettingsError` for no members, for one that is none or has options
    that it does not know, for sizes or options that are not one for each, and for `patch_dropout` where no
    member has patches.
    """
    count = len(config.members)
    if not count:
        raise SettingsError("An ensemble needs members: names of networks.")
    sizes, options = config.sizes or [0] * count, config.member_options or [{}] * count
    if len(sizes) != count or not all(isinstance(size, int) and size >= 0 for size in sizes):
        raise SettingsError(
            f"Sizes {list(sizes)} for {count} members: expected one for each, in their order, "
            "in pixels, or 0 for the size of the ensemble's pictures."
        )
    if len(options) != count or not all(isinstance(each, Mapping) for each in options):
        raise SettingsError(
            f"member_options {list(options)} for {count} members: expected a table of options for each, in "
            "their order, which may be empty."
        )
    entries = [find(name) for name in config.members]
    branches = [
        Branch(name, entry.timm_backbone(own), size, dict(own))
        for name, entry, size, own in zip(config.members, entries, sizes, options, strict=True)
    ]
    networks = [
        _network(config, entry.timm_name, config.drop_path, config.patch_dropout)
        if entry.timm_name and not branch.options
        else _member(config, branch, build)
        for entry, branch in zip(entries, branches, strict=True)
    ]
    return _made(config, dict(zip(branch_names(config.members), branches, strict=True)), networks)


def _member(config: EnsembleConfig, branch: Branch, build: Callable[..., nn.Module]) -> nn.Module:
    """Build a network of the catalogue. Raises `SettingsError` for one that cannot be a branch."""
    network = build(branch.network, config.num_emotions, weights=config.weights, **branch.options)
    if isinstance(network, HasBranches):
        raise SettingsError(f"{branch.network} is an ensemble itself. Name its members instead.")
    if not hasattr(network, "get_classifier"):
        raise SettingsError(
            f"The network {branch.network} cannot be a member of an ensemble, because it has no single last "
            "layer whose temperature could be set. Name plain networks of timm, or multilevel."
        )
    return network


def pair(config: PairConfig) -> Ensemble:
    """Build the ensemble of a transformer and a convolutional network.

    Raises `SettingsError` for `patch_dropout` where the transformer has no patches.
    """
    transformer = _network(config, config.transformer, config.drop_path, config.patch_dropout)
    convolutional = _network(config, config.convolutional)
    members = {
        "transformer": Branch(config.transformer, config.transformer, 0, {}),
        "convolutional": Branch(config.convolutional, config.convolutional, config.convolutional_size, {}),
    }
    return _made(config, members, [transformer, convolutional])


def branch_names(members: Sequence[str]) -> list[str]:
    """Name branches as timm does, without the tags of weights, and with a number where two are alike.

    >>> branch_names(["deit_tiny_patch16_224.fb_in1k", "mobilenetv2_100", "mobilenetv2_100.ra_in1k"])
    ['deit_tiny_patch16_224', 'mobilenetv2_100', 'mobilenetv2_100_2']
    """
    seen: Counter[str] = Counter()
    found = []
    for member in members:
        name = member.partition(".")[0]
        seen[name] += 1
        found.append(f"{name}_{seen[name]}" if seen[name] > 1 else name)
    return found


def _made(
    config: EnsembleConfig | PairConfig, members: Mapping[str, Branch], networks: Sequence[nn.Module]
) -> Ensemble:
    made = Ensemble(members, networks, config.mirror)
    if config.patch_dropout and not backbones.drops_patches(made):
        names = ", ".join(member.backbone for member in members.values())
        raise SettingsError(f"None of {names} has patches to leave out, so patch_dropout must be 0.")
    return made


def _network(
    config: EnsembleConfig | PairConfig, backbone: str, drop_path: float = 0.0, patch_dropout: float = 0.0
) -> nn.Module:
    options = {"drop_path_rate": drop_path} if drop_path else {}
    build = partial(
        backbones.classifier,
        backbone,
        config.num_emotions,
        weights=config.weights,
        drop_rate=config.dropout,
        **options,
    )
    if patch_dropout:
        try:
            return build(patch_drop_rate=patch_dropout)
        except TypeError:  # it has no patches
            pass
    return build()


def _shown(given: backbones.Statistics, member: Branch) -> nn.Module:
    expected = backbones.statistics(member.backbone)
    steps: list[nn.Module] = [] if given == expected else [backbones.Renormalise(given, expected)]
    # Behind it: OpenVINO cannot read products of matrices whose channels are scaled afterwards.
    steps += [backbones.Resize(member.size)] if member.size else []
    return nn.Sequential(*steps)


def _mean(answers: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(answers)).mean(dim=0)
