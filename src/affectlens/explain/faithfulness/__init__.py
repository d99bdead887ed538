"""How far a heat map can be trusted, and methods compared by that."""
