"""What people read: the approval page, the model card, the compliance report."""
