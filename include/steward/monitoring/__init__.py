"""Profiles, judged windows and the incidents they open. Imports light; `profile` and `checks` load pandas."""
