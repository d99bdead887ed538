"""Results -> figures. The only folder that imports matplotlib.

filters.py       what a layer looks for
"""
