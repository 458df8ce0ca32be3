"""What people read: the approval page, the timeline."""
