"""AffectLens: which emotions a picture evokes in the people who look at it.

It judges what a picture evokes on average; it does not read any person's feelings.
"""

__version__ = "0.1.0"
