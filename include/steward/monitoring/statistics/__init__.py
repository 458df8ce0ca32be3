"""What chance alone does, and how far a difference goes beyond it."""
