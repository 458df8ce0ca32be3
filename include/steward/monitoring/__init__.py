"""Profiles, judged windows and the incidents they open. Imports light; `profiles`, `checks`,
`tallies` and `performance` load numpy and pandas."""
