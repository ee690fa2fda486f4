"""Training of the networks; nothing in the runtime imports this package."""
