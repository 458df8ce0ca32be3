"""Looking after what runs, from outside."""
