"""Model folders by name: bundled with the package, on this machine, or on the Hugging Face hub."""

import os
from collections.abc import Iterator
from pathlib import Path

from affectlens.errors import AffectLensError, ModelNotFound
from affectlens.model_folder import CONFIG, README, WEIGHTS, Card, load_card, read_readme

DEFAULT = "default"
BUNDLED = Path(__file__).parent / "bundled"
HOME_VARIABLE = "AFFECTLENS_MODELS"


def home() -> Path:
    """The folder of this user's models: $AFFECTLENS_MODELS, or ~/.local/share/affectlens/models."""
    given = os.environ.get(HOME_VARIABLE)
    return Path(given) if given else Path.home() / ".local" / "share" / "affectlens" / "models"


def folders() -> Iterator[tuple[str, Path]]:
    """Yield name and folder of every model that can be had without a network; bundled ones first."""
    for shelf in (BUNDLED, home()):
        if shelf.is_dir():
            for folder in sorted(shelf.iterdir()):
                if (folder / CONFIG).is_file() and not folder.name.startswith("."):
                    yield folder.name, folder


def find(name: str) -> Path:
    """Return the model folder that a name means.

    In this order: a folder of that path (or a run folder with `model/` inside), a bundled model, one of
    this user's, `owner/name` on the hub. Raises `ModelNotFound`.
    """
    for folder in (Path(name).expanduser(), Path(name).expanduser() / "model"):
        if (folder / CONFIG).is_file():
            return folder
    known = dict(reversed(list(folders())))  # of two with one name the bundled one counts
    if name in known:
        return known[name]
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return _fetch(name)
    raise ModelNotFound(
        f"No model {name!r}. Here are: {', '.join(sorted(known)) or 'none'}. Or pass a model folder, a run "
        "folder whose training has ended, or owner/name of the Hugging Face hub."
    )


def card(name: str = DEFAULT) -> Card:
    """Read a model's card without its weights. Raises `ModelNotFound` or `BadModelFolder`."""
    return load_card(find(name))


def readme(name: str = DEFAULT) -> str:
    """Read a model's card as written for people. Raises `ModelNotFound`."""
    return read_readme(find(name))


def _fetch(name: str) -> Path:
    """Fetch a model folder from the hub, or find it among those fetched before."""
    from huggingface_hub import snapshot_download  # here: it takes half a second to import

    try:
        folder = Path(snapshot_download(name, allow_patterns=[CONFIG, WEIGHTS, README]))
    except AffectLensError:
        raise
    except Exception as error:  # the hub's client raises some dozen kinds, from four libraries
        raise ModelNotFound(
            f"The model {name} is not on this machine and cannot be fetched from the hub "
            f"({type(error).__name__}). Check the name and the network."
        ) from error
    return folder
