"""Data sets: files on disk -> records -> batches. One data set, one file, one `read()`."""
