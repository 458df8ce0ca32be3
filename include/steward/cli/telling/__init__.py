"""Commands that tell what the record says. None of them changes it, but for incidents that people attend to."""
