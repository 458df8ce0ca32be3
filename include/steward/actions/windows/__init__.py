"""Served and scored windows: counted, judged, drawn."""
