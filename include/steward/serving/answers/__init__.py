"""From a checked request to an answer, beside which copies and explanations are made."""
