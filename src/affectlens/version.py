"""The version of the package, which rows, cards and timelines name. Any module may import it."""

VERSION = "0.2.0.dev0"
