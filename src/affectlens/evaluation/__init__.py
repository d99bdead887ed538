"""How good a model is, and how far its probabilities can be trusted.

scores.py        everything that is reported about a model on a set of pictures, with intervals
calibration.py   the temperature that makes probabilities honest, and the data of a reliability diagram
tables.py        scores for people: the terminal and the model card
"""
