"""The only place with vendor imports: each module implements one room's Protocol on one vendor."""
