"""Why a network answers as it does: what it looks for, and what in a picture speaks for an emotion."""
