"""The whole story on real flights through the real scheduler. Nothing is simulated but the calendar."""
