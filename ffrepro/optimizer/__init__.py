"""K-FAC, and optimizers with scheduled learning rates."""
