"""A search in words, for people: what is printed as it goes on, on a terminal or in a notebook."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from affectlens.cluster.search_record import RoundEnd
    from affectlens.cluster.tune import SearchStarted
    from affectlens.training.lineage import Interval


def start_text(event: "SearchStarted") -> str:
    """Describe what a search begins with, or goes on with."""
    plan = event.plan
    return (
        f"{plan.scheduler}: {plan.population} members, {plan.rounds} rounds of {plan.interval} steps, "
        f"{event.device}. Searched: {', '.join(each.name for each in event.space)}."
    )


def round_text(event: "RoundEnd") -> str:
    """Write the scores of a round, and how many members copied another or diverged."""
    more = f", {event.exploited} copied another (exploit)" if event.exploited else ""
    more += f", {event.diverged} diverged" if event.diverged else ""
    return (
        f"Round {event.round}: best {event.best:.4f}, median {event.median:.4f}, "
        f"best so far {event.best_so_far:.4f}{more}."
    )


def winner_text(winner: "Interval") -> str:
    """Name the member and the round that made the best model."""
    return f"Best: member {winner.member} after round {winner.round}, {winner.score:.4f}."
