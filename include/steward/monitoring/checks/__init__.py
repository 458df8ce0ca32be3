"""The families of checks, and the judgement over all of them."""
