"""The end of a model."""
