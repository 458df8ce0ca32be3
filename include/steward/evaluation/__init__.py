"""A candidate on its hold-out.

Metrics, slices, the champion beside it → evidence. Imports light; its modules do not.
"""
