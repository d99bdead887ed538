"""Model folders by name: bundled with the package, on this machine, or on the Hugging Face hub."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from affectlens import hub
from affectlens.errors import ModelError, ModelNotFound
from affectlens.files import exists, is_file
from affectlens.model_folder import CONFIG, GRAPH, HEADS, README, WEIGHTS, Card, load_card, read_readme

DEFAULT = "default"
BUNDLED = Path(__file__).parent / "bundled"
HOME_VARIABLE = "AFFECTLENS_MODELS"


def home() -> Path | None:
    """The folder of this user's models: $AFFECTLENS_MODELS, or ~/.local/share/affectlens/models.

    None for a user without a home folder.
    """
    given = os.environ.get(HOME_VARIABLE)
    if given:
        return Path(given)
    try:
        return Path.home() / ".local" / "share" / "affectlens" / "models"
    except RuntimeError:
        return None


def folders() -> Iterator[tuple[str, Path]]:
    """Yield name and folder of every model that can be had without a network; bundled ones first.

    A folder of models that may not be listed has none.
    """
    for shelf in (BUNDLED, home()):
        try:
            found = sorted(shelf.iterdir()) if shelf else []
        except OSError:
            continue
        for folder in found:
            if is_file(folder / CONFIG) and not folder.name.startswith("."):
                yield folder.name, folder


def find(name: str) -> Path:
    """Return the model folder that a name means.

    In this order: a bundled model, one of this user's, a folder of that path (or a run folder with `model/`
    inside), `owner/name` or `owner/name@revision` on the hub. A folder of the name of a model is meant by its
    path, as `./default`. Raises `ModelNotFound`.
    """
    known = dict(reversed(list(folders())))  # of two with one name the bundled one counts
    if name in known:
        return known[name]
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - which leaves `~unknown` as it is
    folder = at_path(path)
    if folder is not None:
        return folder
    _require_rights(path)
    # Below a folder that is here, a name that is not can only be misspelt.
    if hub.is_name(name) and not exists(Path(hub.divided(name)[0]).parent):
        return _fetch(name)
    raise ModelNotFound(
        f"No model {name!r}. Here are: {', '.join(sorted(known)) or 'none'}. Or pass a model folder, a run "
        "folder whose training has ended, or owner/name[@revision] of the Hugging Face hub."
    )


def at_path(path: Path) -> Path | None:
    """Return the model folder at a path, or within the run folder there; None where there is neither."""
    return next((folder for folder in (path, path / "model") if is_file(folder / CONFIG)), None)


def portable_name(name: str) -> str:
    """Return the name of a model as another could use it: of a folder of this machine a placeholder.

    >>> portable_name("default"), portable_name("/runs/mine")
    ('default', 'FOLDER')
    """
    is_name = name in dict(folders()) or (hub.is_name(name) and not exists(Path(name)))
    return name if is_name or not name else "FOLDER"


def _require_rights(folder: Path) -> None:
    """Raise `ModelNotFound` for a folder that is there and may not be entered."""
    try:
        (folder / CONFIG).stat()
    except PermissionError as error:
        reason = f"The model folder {folder} may not be entered: {error.strerror}. Change its rights."
        raise ModelNotFound(reason) from None
    except (OSError, ValueError):
        pass  # nothing of that name


def card(name: str = DEFAULT) -> Card:
    """Read a model's card without its weights. Raises `ModelNotFound` or `BadModelFolder`."""
    return load_card(find(name))


def readme(name: str = DEFAULT) -> str:
    """Read a model's card as written for people. Raises `ModelNotFound`."""
    return read_readme(find(name))


def card_text(name: str = DEFAULT) -> str:
    """Read a model's card without the header, which is for the hub. Raises `ModelNotFound`."""
    text = readme(name)
    return text.split("\n---\n", 1)[-1] if text.startswith("---\n") else text


@dataclass(frozen=True, kw_only=True)
class ModelSummary:
    """A model that can be had without a network, or why it cannot be used.

    Attributes:
        name: what `find` takes
        network, emotions: names of its network and of its vocabulary
        accuracy: measured on `split` of the data; None where it was not measured
        split: "" where it is not known
        data: the data set it was trained on, as it was given; "" where it is not known
        error: why the folder is unusable; all else is empty then
    """

    name: str
    network: str = ""
    emotions: str = ""
    accuracy: float | None = None
    split: str = ""
    data: str = ""
    error: ModelError | None = None


def summaries() -> Iterator[ModelSummary]:
    """Yield a summary of each of `folders`."""
    for name, folder in folders():
        try:
            found = card(str(folder))
        except ModelError as error:
            yield ModelSummary(name=name, error=error)
            continue
        accuracy = found.scores.get("accuracy")
        yield ModelSummary(
            name=name,
            network=found.network,
            emotions=found.vocabulary.name,
            accuracy=accuracy if isinstance(accuracy, float) else None,
            split=str(found.scores.get("split", "")),
            data=str(found.training.get("data", {}).get("spec", "")),
        )


def _fetch(name: str) -> Path:
    """Fetch a model folder from the hub, or find it among those fetched before."""
    try:
        return hub.fetch_folder(name, [CONFIG, WEIGHTS, README, GRAPH, HEADS])
    except Exception as error:  # the hub's client raises some dozen kinds, from four libraries
        raise ModelNotFound(
            f"The model {name} is not on this machine and cannot be fetched from the hub "
            f"({type(error).__name__}). Check the name and the network."
        ) from error
