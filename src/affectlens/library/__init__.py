"""Model folders by name (`catalog`). `models.saved.load` loads the network of one."""

from affectlens.library.catalog import BUNDLED, DEFAULT, HOME_VARIABLE, card, find, folders, home, readme

__all__ = ["BUNDLED", "DEFAULT", "HOME_VARIABLE", "card", "find", "folders", "home", "readme"]
