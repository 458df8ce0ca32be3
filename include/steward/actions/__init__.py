"""The verbs: one function each, one audit event each, in the transaction of its change."""

from steward.actions.advancing import shift_traffic
from steward.actions.analysing import analyse_canary
from steward.actions.approving import answer_approval, expire_approval, request_approval, show_request
from steward.actions.archiving import archive_model, verify_archive
from steward.actions.auditing import audit_inventory
from steward.actions.documents import file_document
from steward.actions.draining import await_consumers, await_quiet, call_off_retirement, confirm_consumer
from steward.actions.drift_reports import write_report
from steward.actions.healing import heal
from steward.actions.live_failures import heal_window
from steward.actions.maintaining import forget_subject, load_outcomes, maintain_log
from steward.actions.overriding import break_glass, review_model
from steward.actions.preparing import evaluate, take_snapshot, train, validate_data
from steward.actions.proving import prove_rollback
from steward.actions.registering import close_run, register
from steward.actions.rehearsing import rehearse_rollback
from steward.actions.releasing import complete_rollout, start_rollout
from steward.actions.reporting import write_governance_reports
from steward.actions.reproducing import reproduce
from steward.actions.retiring import bury, close_endpoint, start_retirement
from steward.actions.retrain import admit_training, allow_retraining, decide_retraining
from steward.actions.rolling_back import roll_back, settle_rollout, trip_canary
from steward.actions.scoring import record_outcomes, score_window
from steward.actions.scoring_incidents import note_scoring
from steward.actions.upkeep import reassert_aliases, release_standbys, verify_ledger
from steward.actions.waiving import grant_waiver, revoke_waiver
from steward.actions.watching import judge_window
from steward.actions.window_incidents import open_incident

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
    "write_report",
]
