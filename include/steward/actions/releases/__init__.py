"""Traffic to a version, step by step, and the way back."""
