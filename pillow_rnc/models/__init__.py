"""Models: configuration, weights, and the networks that turn pixels into codes and back."""
