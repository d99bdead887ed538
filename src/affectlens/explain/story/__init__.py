"""What changes a prediction, measured, and put into sentences."""
