"""A timeline as a page and as figures."""
