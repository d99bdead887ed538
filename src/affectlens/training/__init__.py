"""Data -> trained model: settings, the loop, the run folder around it."""
