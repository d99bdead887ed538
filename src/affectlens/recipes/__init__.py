"""How each model was trained: functions that return settings, found by name in `recipes.catalog`."""
