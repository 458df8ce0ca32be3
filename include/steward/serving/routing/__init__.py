"""Who answers whom: the table in force, where it comes from, and what takes a version out of it."""
