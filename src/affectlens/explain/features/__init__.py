"""What single channels of a network respond to."""
