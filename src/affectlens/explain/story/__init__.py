"""What changes a prediction, measured, and told in sentences."""
