"""Two films, or two cuts of one, laid beside one another."""
