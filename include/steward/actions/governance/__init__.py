"""Stages, documents, and the estate compared with its record."""
