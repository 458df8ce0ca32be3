"""What the record says, put together for people and programs."""
