"""Two films, or two cuts of one, compared."""
