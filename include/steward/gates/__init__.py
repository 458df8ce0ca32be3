"""`Evidence` in, `Verdict` with reasons out; pure."""

from steward.gates.verdict import OVERALL, Evidence, Finding, Outcome, Verdict, at_least, at_most

__all__ = ["OVERALL", "Evidence", "Finding", "Outcome", "Verdict", "at_least", "at_most"]
