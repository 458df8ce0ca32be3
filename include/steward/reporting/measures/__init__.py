"""How well the estate is delivered and looked after, counted from the audit events alone.

`record` is what is counted, `reading` finds it in the events, `definitions` says what each measure is, `view` puts them
together for people and programs.
"""
