"""People's yes or no, on what it rests, and what stands in for it for a time."""
