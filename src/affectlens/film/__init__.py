"""A film and what it evokes, moment by moment: watched, read, compared, reported, exported."""
