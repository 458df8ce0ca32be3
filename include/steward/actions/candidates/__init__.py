"""From data to a judged version: the steps of a training run before anybody is asked."""
