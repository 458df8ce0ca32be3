"""Counts of served rows that add up without the rows."""

from steward.monitoring.tallies.answers import CELLS, AnswerTally, GroupTally, OutcomeTally
from steward.monitoring.tallies.columns import ColumnTally, Words
from steward.monitoring.tallies.moments import CoMoments, Moments
from steward.monitoring.tallies.operation import OperationTally
from steward.monitoring.tallies.tally import DayTally, Tally, TallyTable

__all__ = [
    "CELLS",
    "AnswerTally",
    "CoMoments",
    "ColumnTally",
    "DayTally",
    "GroupTally",
    "Moments",
    "OperationTally",
    "OutcomeTally",
    "Tally",
    "TallyTable",
    "Words",
]
