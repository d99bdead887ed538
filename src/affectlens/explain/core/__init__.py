"""What every explanation method shares: the question, the attribution, baselines, perturbations."""
