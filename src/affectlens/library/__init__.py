"""Model folders by name (`catalog`). `models.saved.load` loads the network of one."""

from affectlens.library.catalog import (
    BUNDLED,
    DEFAULT,
    HOME_VARIABLE,
    ModelSummary,
    at_path,
    card,
    card_text,
    find,
    folders,
    home,
    portable_name,
    readme,
    summaries,
)

__all__ = [
    "BUNDLED",
    "DEFAULT",
    "HOME_VARIABLE",
    "ModelSummary",
    "at_path",
    "card",
    "card_text",
    "find",
    "folders",
    "home",
    "portable_name",
    "readme",
    "summaries",
]
