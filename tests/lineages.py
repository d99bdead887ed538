"""A lineage made by hand, for tests that need one without training."""

from affectlens.training.lineage import DIVERGED, Interval
from affectlens.training.search_space import Hyperparameter, sample_id, values_at

SPACE = (
    Hyperparameter("lr", 1e-4, 1e-2, "log", 1.25),
    Hyperparameter("label_smoothing", 0.0, 0.3, "linear", 0.05),
    Hyperparameter("mixup", 0.0, 0.8, "linear", 0.1),
)
STEPS = 10


def interval(
    member: int, number: int, parent: Interval | None, units: tuple[float, float, float], score: float
) -> Interval:
    """A member's round that begins where its parent ended, under new settings where they differ."""
    point = dict(zip([each.name for each in SPACE], units, strict=True))
    values = values_at(SPACE, point)
    sampled_from = None
    if parent is not None:
        sampled_from = parent.sampled_from if values == parent.settings else parent.sample
    steps = parent.last_step if parent else 0
    failed = "The loss is nan." if score == DIVERGED else None
    start = parent.end_hash if parent else "0" * 64
    return Interval(
        member=member,
        round=number,
        parent=parent.member if parent else None,
        settings=values,
        unit=point,
        sample=sample_id(values, sampled_from),
        sampled_from=sampled_from,
        first_step=steps,
        last_step=steps if failed else steps + STEPS,
        start_hash=start,
        end_hash=start if failed else f"{member:02d}{number:02d}" + "f" * 60,
        score=score,
        scores={"accuracy": score},
        seconds=1.0,
        failed=failed,
    )


def family() -> list[Interval]:
    """Three members, three rounds: 2 copies 0 in round 2, 0 copies 2 in round 3."""
    a1 = interval(0, 1, None, (0.5, 0.3, 0.0), 0.40)
    b1 = interval(1, 1, None, (0.2, 0.6, 0.5), 0.30)
    c1 = interval(2, 1, None, (0.9, 0.1, 1.0), DIVERGED)
    a2 = interval(0, 2, a1, (0.5, 0.3, 0.0), 0.45)
    b2 = interval(1, 2, b1, (0.2, 0.6, 0.5), 0.46)
    c2 = interval(2, 2, a1, (0.55, 0.5, 0.1), 0.50)
    a3 = interval(0, 3, c2, (0.6, 0.7, 0.2), 0.61)
    b3 = interval(1, 3, b2, (0.2, 0.6, 0.5), 0.55)
    c3 = interval(2, 3, c2, (0.55, 0.5, 0.1), 0.52)
    return [a1, b1, c1, a2, b2, c2, a3, b3, c3]
