"""Routes, bodies, replies: what a caller meets."""
