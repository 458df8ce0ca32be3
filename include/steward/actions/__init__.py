"""The verbs: one function each, one audit event each, in the transaction of its change."""

from steward.actions.approvals.approving import answer_approval, expire_approval, request_approval, show_request
from steward.actions.approvals.overriding import break_glass, review_model
from steward.actions.approvals.waiving import grant_waiver, revoke_waiver
from steward.actions.candidates.preparing import evaluate, take_snapshot, train, validate_data
from steward.actions.candidates.registering import close_run, register
from steward.actions.candidates.reproducing import reproduce
from steward.actions.governance.auditing import audit_inventory
from steward.actions.governance.documents import file_document
from steward.actions.healing.healing import heal
from steward.actions.healing.live_failures import heal_window
from steward.actions.incidents.from_scoring import note_scoring
from steward.actions.incidents.from_windows import open_incident
from steward.actions.releases.advancing import shift_traffic
from steward.actions.releases.analysing import analyse_canary
from steward.actions.releases.proving import prove_rollback
from steward.actions.releases.rehearsing import rehearse_rollback
from steward.actions.releases.releasing import complete_rollout, start_rollout
from steward.actions.releases.rolling_back import roll_back, settle_rollout, trip_canary
from steward.actions.retirement.archiving import archive_model, verify_archive
from steward.actions.retirement.draining import await_consumers, await_quiet, call_off_retirement, confirm_consumer
from steward.actions.retirement.retiring import bury, close_endpoint, start_retirement
from steward.actions.retraining.deciding import admit_training, allow_retraining, decide_retraining
from steward.actions.telling.portfolio_report import write_portfolio_report
from steward.actions.telling.reporting import write_governance_reports
from steward.actions.upkeep.maintaining import forget_subject, load_outcomes, maintain_log
from steward.actions.upkeep.nightly import reassert_aliases, release_standbys, verify_ledger
from steward.actions.windows.drift_reports import write_report
from steward.actions.windows.scoring import record_outcomes, score_window
from steward.actions.windows.watching import judge_window

__all__ = [
    "admit_training",
    "allow_retraining",
    "analyse_canary",
    "answer_approval",
    "archive_model",
    "audit_inventory",
    "await_consumers",
    "await_quiet",
    "break_glass",
    "bury",
    "call_off_retirement",
    "close_endpoint",
    "close_run",
    "complete_rollout",
    "confirm_consumer",
    "decide_retraining",
    "evaluate",
    "expire_approval",
    "file_document",
    "forget_subject",
    "grant_waiver",
    "heal",
    "heal_window",
    "judge_window",
    "load_outcomes",
    "maintain_log",
    "note_scoring",
    "open_incident",
    "prove_rollback",
    "reassert_aliases",
    "record_outcomes",
    "register",
    "rehearse_rollback",
    "release_standbys",
    "reproduce",
    "request_approval",
    "review_model",
    "revoke_waiver",
    "roll_back",
    "score_window",
    "settle_rollout",
    "shift_traffic",
    "show_request",
    "start_retirement",
    "start_rollout",
    "take_snapshot",
    "train",
    "trip_canary",
    "validate_data",
    "verify_archive",
    "verify_ledger",
    "write_governance_reports",
    "write_portfolio_report",
    "write_report",
]
