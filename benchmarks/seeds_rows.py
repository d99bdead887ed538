"""Which networks `seeds.py` trains, by which recipe, and what each is compared with."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from affectlens.models.backbones import NONE
from affectlens.recipes.catalog import recipe
from affectlens.training.settings import Settings, override

SEEDS = (0, 1, 2)
BACKBONE = "mobilenetv2_100"

# The recipe `plain`, which no row's authors wrote and none was tuned for, made short enough for a CPU.
RECIPE = (
    "num_workers=0", "epochs=4", "label_smoothing=0", "low_res_size=96", "low_res_fraction=1",
    "preprocessing.height=128", "preprocessing.width=128", "preprocessing.interpolation=bilinear",
    "cache_side=160", "precision=bfloat16",
)  # fmt: skip
ON_BACKBONE = f"network_options.backbone={BACKBONE}"
UNREDUCED = (
    "network_options.reduction=1"  # MobileNetV2's first maps have 16 to 32 channels: nothing to reduce
)
OF_EMBEDDING = ("loss.similarity=1", "loss.similarity_of=embedding")  # as these rows were trained
IMBALANCE = ("loss.cross_entropy=0", "loss.class_imbalance=1")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table, trained once for each of `SEEDS`.

    Attributes:
        network: its name in the catalogue
        assignments: settings on top of those of `RECIPE`
        what: network, loss and batches, for people
    """

    name: str
    network: str
    assignments: tuple[str, ...] = ()
    what: tuple[str, str, str]


CROSS_ENTROPY, RANDOM = "cross-entropy", "random"
CLASS_IMBALANCE = "class-imbalance"
SIMILARITY = "cross-entropy + emotion similarity"

ROWS = {
    row.name: row
    for row in (
        Row(name="plain", network=BACKBONE, what=("the backbone", CROSS_ENTROPY, RANDOM)),
        Row(name="plain_cil", network=BACKBONE, assignments=IMBALANCE,
            what=("the backbone", CLASS_IMBALANCE, RANDOM)),
        Row(name="mlm", network="mlm_paper", assignments=(ON_BACKBONE, UNREDUCED),
            what=("`mlm_paper`, reduction 1", CROSS_ENTROPY, RANDOM)),
        Row(name="mlm_cil", network="mlm_paper", assignments=(ON_BACKBONE, UNREDUCED, *IMBALANCE),
            what=("`mlm_paper`, reduction 1", CLASS_IMBALANCE, RANDOM)),
        Row(name="mam", network="mam_paper", assignments=(ON_BACKBONE,),
            what=("`mam_paper`", CROSS_ENTROPY, RANDOM)),
        Row(name="mam_sim", network="mam_paper", assignments=(ON_BACKBONE, *OF_EMBEDDING),
            what=("`mam_paper`", SIMILARITY, RANDOM)),
        Row(name="mam_sim_pk", network="mam_paper",
            assignments=(ON_BACKBONE, *OF_EMBEDDING, "pictures_per_emotion=8"),
            what=("`mam_paper`", SIMILARITY, "8 emotions × 8 pictures")),  # noqa: RUF001
        Row(name="mlm_release", network="mlm_release",
            assignments=(ON_BACKBONE, *IMBALANCE, "loss.double_softmax=true"),
            what=("`mlm_release`", "class-imbalance, softmax taken twice", RANDOM)),
        Row(name="mam_release", network="mam_release", assignments=(ON_BACKBONE,),
            what=("`mam_release`", CROSS_ENTROPY, RANDOM)),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """Two rows, `row` minus `base`, and what differs between them."""

    row: str
    base: str
    what: str

    @property
    def title(self) -> str:
        return f"`{self.row}` \u2212 `{self.base}`"


COMPARISONS = (
    Comparison("plain_cil", "plain", "MLM's class-imbalance loss on the bare backbone"),
    Comparison("mlm", "plain", "MLM's Gram branches"),
    Comparison("mlm_cil", "mlm", "MLM's class-imbalance loss together with its Gram branches"),
    Comparison("mlm_cil", "plain_cil", "MLM's Gram branches under its class-imbalance loss"),
    Comparison("mlm_cil", "plain", "all of MLM"),
    Comparison(
        "mlm_release", "mlm_cil", "MLM as its script computes it, instead of as its paper describes it"
    ),
    Comparison("mam", "plain", "MAM's Gram encoders and tokenizers"),
    Comparison("mam_sim", "mam", "MAM's emotion similarity loss"),
    Comparison("mam_sim", "plain", "all of MAM"),
    Comparison("mam_sim_pk", "mam_sim", "batches of 8 emotions with 8 pictures each"),
    Comparison("mam_release", "mam", "tokenizers instead of MAM's two Gram encoders"),
)

ADDS_SHALLOW = tuple(
    each
    for each in COMPARISONS
    if (each.row, each.base) in {("mlm", "plain"), ("mlm_cil", "plain_cil"), ("mam", "plain")}
)
# "For which emotions does the shallow branch help?"
SHALLOW = tuple(each for each in COMPARISONS if each.row in {"mlm", "mam"} and each.base == "plain")


@dataclass(frozen=True)
class Job:
    """One run: a row with a seed."""

    row: Row
    seed: int

    @property
    def name(self) -> str:
        """The run folder's name."""
        return f"{self.row.name}-{self.seed}"


def jobs(rows: Sequence[Row] = tuple(ROWS.values())) -> list[Job]:
    """Every run of some rows, seed by seed, so that a first answer on all rows comes early."""
    return [Job(row, seed) for seed, row in product(SEEDS, rows)]


def assignments(job: Job) -> list[str]:
    """What the recipe `plain` is changed by, as `affectlens train --set` takes it, but for the weights."""
    return [f"network={job.row.network}", *RECIPE, *job.row.assignments, f"seed={job.seed}"]


def settings(job: Job, weights: str = NONE) -> Settings:
    """Everything that decides a run."""
    return override(recipe("plain"), [*assignments(job), f"weights={weights}"])
