"""What callers write and read: Open Inference Protocol, MLflow, outcomes."""
