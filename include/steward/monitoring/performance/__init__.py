"""How good a version is on served rows, with labels and before they come."""
