"""Every error raised on purpose. Each states what happened, where, what was expected and what to do next.

AffectLensError
    UnknownName             a name that is not in a list of known names; suggests the nearest
    PictureError            one picture cannot be used; a job reports it and goes on
        PictureNotFound         nothing at this path
            NoPictures              a folder, pattern, table or list without a picture
        PictureDenied           the file may not be read
        PictureIsFolder         the path is a folder
        PictureEmpty            zero bytes
        NotAPicture             not in a picture format that we read
        PictureDamaged          a picture, but truncated or corrupt
        PictureTooLarge         more pixels than allowed: a decompression bomb, or a huge scan
    VideoError              a film that cannot be used
        VideoNotFound           nothing at this path
        VideoDenied             the film may not be read
        NotAVideo               not in a film format that we read, or without a picture track
            PictureInsteadOfFilm    a picture where a film is expected
        VideoDamaged            a film, but nothing of it can be decoded
        VideoUnreachable        a stream or camera that does not answer, or breaks off at once
    DatasetError
        DatasetNotFound         the root lacks the file or folder that every copy has
        BadRow                  one line of an index file is wrong
        EmptySplit              the requested split has no pictures
    ModelError
        ModelNotFound           no bundled, local or hub model of that name
        BadModelFolder          incomplete, truncated, altered or of another version
        VocabularyMismatch      model and data use different emotion words
        WeightsNotFound         pretrained weights that can be neither read nor fetched
        BadUsualPictures        in inference/unusual.py: arrays that do not score unusual pictures
    SettingsError           a setting that does not exist or has an impossible value
        NoLinearClassifier      a model whose answers are not read from its embedding by linear layers alone
        BadEmbeddings           in inference/unusual.py: embeddings that cannot be scored or fitted to
        NoCircumplex            in report/circumplex.py: a model that does not predict valence and arousal
    RunError                a run folder that cannot be started or resumed
    OutputError             a result file that cannot be written or continued
        OutputInUse             another process is writing it
    MissingExtra            a library that comes with an extra of the package
    ClusterError            no Ray at an address, or one that went away
    LineageError            a search whose record of who descends from whom is not true
    BadDistribution         in emotions.py: weights that do not form a probability distribution
        BadVocabulary           words that cannot be a vocabulary, or facts of words that cannot be
    NoConversion            in emotions.py: no mapping between two vocabularies
    BadAttribute            in attributes.py: an attribute, or a picture's words for it, that cannot be
    NotMeasurable           in metrics.py: a number that the given logits and targets do not have
    BadScores               in evaluation/scores.py: scores that cannot be read or compared
    NotCalibrated           in adaptation/calibrate.py: own pictures that make no part of a calibration better
    BadRatings              in ratings.py: numbers that cannot be ratings, their scale or what reads them
    BadPredictionSets       in inference/coverage.py: thresholds that cannot be those of prediction sets
    Problem                 in serve/problems.py: a request over HTTP that is not answered
"""

import os
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any


class AffectLensError(Exception):
    """Base of all errors that a user can cause or fix; its text stands alone."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are pickled by the arguments of `__init__`, which here are not the text: without this,
        # an error from a worker process would arrive as another one.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[AffectLensError], args: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


def first_line(error: BaseException) -> str:
    """Return the first line of another library's error, without its full stop and of bounded length.

    >>> first_line(ValueError("no such size. \\n  at line 12")), first_line(AssertionError())
    ('no such size', 'AssertionError')
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300].rstrip(".")


class UnknownName(AffectLensError):
    """A name that is not among the known ones.

    >>> raise UnknownName("emotion", "amusment", ["amusement", "awe"], "the vocabulary mikels-8")
    Traceback (most recent call last):
        ...
    affectlens.errors.UnknownName: 'amusment' is not an emotion of the vocabulary mikels-8. Did you \
mean 'amusement'? Known: amusement, awe.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], where: str, remedy: str = "") -> None:
        self.name = name
        self.where = where
        self.known = tuple(dict.fromkeys(known))  # a recipe may have the name of its network
        spelt = {word.lower(): word for word in self.known}
        near = get_close_matches(name.lower(), spelt, n=1, cutoff=0.6)
        hint = f" Did you mean {spelt[near[0]]!r}?" if near else ""
        super().__init__(
            f"{name!r} is not {_with_article(kind)} of {where}.{hint} Known: {', '.join(self.known)}."
            + (f" {remedy}" if remedy else "")
        )


def _with_article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def backslash_hint(path: Path | str) -> str:
    """Return what to do about a path of Windows on another system; empty for any other path."""
    if os.sep == "\\" or "\\" not in str(path):
        return ""
    return " It has backslashes: here folders are separated by /."


def is_denied(path: Path | str) -> bool:
    """Whether what lies at a path, or does not, may not be looked at."""
    try:
        os.lstat(path)
    except PermissionError:
        return True
    except (OSError, ValueError):
        pass
    return False


class PictureError(AffectLensError):
    """One picture that cannot be used: the path and the reason."""

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = str(path)
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class PictureNotFound(PictureError):
    """Nothing lies at this path."""


class NoPictures(PictureNotFound):
    """A folder, pattern, table or list that has no picture; what it stands for is not one."""


class PictureDenied(PictureError):
    """The file is there but may not be read."""


class PictureIsFolder(PictureError):
    """A folder where one file was expected."""


class PictureEmpty(PictureError):
    """A file of zero bytes."""


class NotAPicture(PictureError):
    """Bytes that are not in a picture format that we read."""


class PictureDamaged(PictureError):
    """A picture by its first bytes, but truncated or corrupt further on."""


class PictureTooLarge(PictureError):
    """More pixels than allowed: a decompression bomb, or a scan that must be reduced first."""


class VideoError(AffectLensError):
    """A film that cannot be used: its path or address, without a password, and the reason."""

    def __init__(self, name: Path | str, reason: str) -> None:
        self.name = str(name)
        self.reason = reason
        super().__init__(f"{name}: {reason}")


class VideoNotFound(VideoError):
    """Nothing lies at this path."""


class VideoDenied(VideoError):
    """The film is there but may not be read."""


class NotAVideo(VideoError):
    """Not in a film format that we read, or without a picture track."""


class PictureInsteadOfFilm(NotAVideo):
    """A picture where a film is expected."""


class VideoDamaged(VideoError):
    """A film by its first bytes, but nothing of it can be decoded."""


class VideoUnreachable(VideoError):
    """A stream or camera that does not answer, or that broke off before it gave a frame."""


class DatasetError(AffectLensError):
    """A data set that cannot be read."""


class DatasetNotFound(DatasetError):
    """The root lacks the file or folder that every copy of the data set has, or has one for the other."""

    def __init__(self, title: str, expected: Path, source: str) -> None:
        remedy = f"Get it from {source}, then pass the folder that holds {expected.name!r}."
        if os.path.isdir(expected):  # noqa: PTH112
            found, remedy = "is a folder", "Pass the file itself."
        elif os.path.isfile(expected):  # noqa: PTH113
            found, remedy = "is a file", "Pass a folder."
        elif os.path.lexists(expected):
            found = "leads nowhere, or cannot be opened"
        else:
            found = "does not exist"
            if is_denied(expected):
                found, remedy = "may not be looked at", "Change the rights of its folder."
        super().__init__(f"{title} is not here: {expected} {found}. {remedy}{backslash_hint(expected)}")


class BadRow(DatasetError):
    """One line of an index file that cannot be a record."""

    def __init__(self, file: Path, line: int, reason: str) -> None:
        self.file = file
        self.line = line
        super().__init__(f"{file}, line {line}: {reason}")


class EmptySplit(DatasetError):
    """The requested split of a data set has no pictures."""

    def __init__(self, data: str, split: str, present: Sequence[str]) -> None:
        there = ", ".join(present) or "none"
        super().__init__(f"{data} has no pictures in the split {split!r}. Splits with pictures: {there}.")


class ModelError(AffectLensError):
    """A model that cannot be used."""


class ModelNotFound(ModelError):
    """No bundled, local or hub model of that name."""


class BadModelFolder(ModelError):
    """A model folder that is incomplete, truncated, altered or of another version."""

    def __init__(self, folder: Path, reason: str, remedy: str = "Get or train the model again.") -> None:
        self.folder = folder
        self.reason = reason
        super().__init__(f"The model folder {folder} cannot be loaded: {reason} {remedy}")


class VocabularyMismatch(ModelError):
    """Model and data name different emotions; indices would silently mean other words."""

    def __init__(self, model_words: Sequence[str], data_words: Sequence[str]) -> None:
        super().__init__(
            f"The model knows the emotions [{', '.join(model_words)}] but the data is labelled with "
            f"[{', '.join(data_words)}]. Use data of the model's vocabulary, or convert its labels first."
        )


class WeightsNotFound(ModelError):
    """Pretrained weights that can be neither read from disk nor fetched."""


class SettingsError(AffectLensError):
    """A setting that does not exist or has an impossible value."""


class RunError(AffectLensError):
    """A run folder that cannot be started or resumed."""


class OutputError(AffectLensError):
    """A result file that cannot be written or continued."""


class OutputInUse(OutputError):
    """Another process is writing there."""

    def __init__(self, output: Path, holder: str) -> None:
        super().__init__(
            f"{output} is being written by another process ({holder or 'which has not named itself yet'}). "
            "Wait until it has ended, or choose another name."
        )


class MissingExtra(AffectLensError):
    """A library that is not installed, because it comes with an extra of the package only."""

    def __init__(self, what: str, library: str, extra: str) -> None:
        super().__init__(
            f'{what} needs {library}, which is not installed. Get it with pip install "affectlens[{extra}]".'
        )


class ClusterError(AffectLensError):
    """No Ray answers at an address, or it went away in the middle of the work."""


class LineageError(AffectLensError):
    """A search's record of who descends from whom is damaged, or shows weights under wrong settings."""
