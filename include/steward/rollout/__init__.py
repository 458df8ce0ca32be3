"""Canary steps, routing, analysis of live answers, and the way back."""

from steward.rollout.state import Rollout, RolloutState, RolloutTable, Route, RouteTable

__all__ = ["Rollout", "RolloutState", "RolloutTable", "Route", "RouteTable"]
