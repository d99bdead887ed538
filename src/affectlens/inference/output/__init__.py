"""Rows of answers -> a file that grows as they are computed and can be resumed: one format, one file."""
