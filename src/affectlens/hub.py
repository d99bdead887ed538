"""Files of the Hugging Face hub: fetched where it can be reached, else found among those fetched before."""

from collections.abc import Sequence
from pathlib import Path

HUB, NONE = "hub", "none"  # where weights begin that no file or folder is named for

PATIENCE = (
    5.0  # seconds for the hub to answer; its own client would try for half a minute, and report each try
)


def fetch_file(repository: str, name: str) -> Path:
    """Fetch one file of a repository, `owner/name` or `owner/name@revision`.

    Raises what the hub's client does, some dozen kinds.
    """
    from huggingface_hub import hf_hub_download  # here: it takes half a second to import

    repository, revision = divided(repository)
    return Path(hf_hub_download(repository, name, revision=revision, local_files_only=not _answers()))


def fetch_folder(repository: str, names: Sequence[str]) -> Path:
    """Fetch those files of a repository that it has, and return their folder. Raises as `fetch_file`."""
    from huggingface_hub import snapshot_download

    repository, revision = divided(repository)
    is_offline = not _answers()
    return Path(
        snapshot_download(
            repository, revision=revision, allow_patterns=list(names), local_files_only=is_offline
        )
    )


def is_name(text: str) -> bool:
    """Whether a text can be the name of a repository rather than a path.

    >>> is_name("owner/name"), is_name("runs/a/model"), is_name("./model"), is_name("name")
    (True, False, False, False)
    >>> is_name("owner/name@v2"), is_name("owner/name@refs/pr/1"), is_name("owner/name@")
    (True, True, False)
    """
    repository, revision = divided(text)
    if revision == "" or repository.count("/") != 1:
        return False
    return not repository.startswith((".", "/", "~")) and not repository.endswith("/")


def divided(text: str) -> tuple[str, str | None]:
    """Divide `owner/name@revision` into repository and revision: a branch, a tag, or a commit.

    >>> divided("owner/name@v2"), divided("owner/name")
    (('owner/name', 'v2'), ('owner/name', None))
    """
    repository, separator, revision = text.partition("@")
    return repository, revision if separator else None


def _answers() -> bool:
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=PATIENCE)
    except Exception:  # no network, a proxy that refuses, the client's own offline mode
        return False
    return True
