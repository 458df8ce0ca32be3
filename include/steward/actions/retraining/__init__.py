"""Whether a training begins."""
