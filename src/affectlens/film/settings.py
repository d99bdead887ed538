"""Settings for watching a film."""

from dataclasses import dataclass
from typing import Literal

from affectlens.errors import SettingsError

Sampling = Literal["time", "keyframes", "shots"]


@dataclass(frozen=True, kw_only=True)
class FilmSettings:
    """How a film is watched; together with the film and the model, this determines the timeline.

    Attributes:
        sampling: which frames the model sees. "time": one every `every` seconds, and one where a shot begins;
            "keyframes": keyframes only, and no other frame is decoded: fastest, and coarse;
            "shots": a few frames of each shot, at growing intervals
        every: seconds between sampled frames; 0 samples every frame
        begin, end: seconds of the film between which it is watched; None for all. Of a live source, `end`
            is for how long it is watched
        half_life: seconds after which a frame counts half for its neighbours in the same shot; 0 disables
            smoothing. Half a second removes the flicker of single frames and no more: on two real films,
            sampled twice a second, a frame's probabilities are predicted from its neighbours' the worse the
            further these reach (root mean square of all probabilities 0.103 with 0.125 s, 0.114 with 0.5 s,
            0.128 with 1 s, 0.143 with 2 s), so that a longer one removes what is there
        reuse: whether the prediction for a frame is reused for frames that look the same
        prominence: least prominence of a peak, in 0..1
        distance: least number of seconds between two peaks of one emotion
        shortest_mood: seconds for which an emotion must lead to make a turn
    Raises `SettingsError` for impossible values.
    """

    sampling: Sampling = "time"
    every: float = 0.5
    begin: float | None = None
    end: float | None = None
    half_life: float = 0.5
    reuse: bool = True
    prominence: float = 0.1
    distance: float = 5.0
    shortest_mood: float = 2.0

    def __post_init__(self) -> None:
        if self.sampling not in ("time", "keyframes", "shots"):
            raise SettingsError(f"sampling must be time, keyframes or shots, not {self.sampling!r}.")
        for name in ("every", "half_life", "distance", "shortest_mood"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise SettingsError(
                    f"{name} must be a number of seconds from 0, not {getattr(self, name)!r}."
                )
        if not 0 <= self.prominence <= 1:
            raise SettingsError(f"prominence must lie in 0..1, not {self.prominence!r}.")
        begin, end = self.begin or 0.0, float("inf") if self.end is None else self.end
        if not 0 <= begin < end:
            raise SettingsError(
                f"A film is watched from begin to end, not from {begin:g} to {end:g} seconds."
            )
