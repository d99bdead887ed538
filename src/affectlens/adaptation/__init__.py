"""Models of one's own: a trained model that learns the words of other pictures."""
