"""Who may approve what: policy by risk tier, separation of duties, expiry, evidence digest."""

from steward.approval.requests import Answer, ApprovalRequest, ApprovalTable, RequestState

__all__ = ["Answer", "ApprovalRequest", "ApprovalTable", "RequestState"]
