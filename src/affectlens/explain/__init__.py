"""Why a network answers as it does: what its filters respond to, and what in a picture evokes an emotion."""
