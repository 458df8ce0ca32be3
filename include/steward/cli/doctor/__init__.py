"""doctor: what is wrong with an installation, and the mend for it. Looks only; every probe is bounded in time."""

from steward.cli.doctor.command import add_to

__all__ = ["add_to"]
