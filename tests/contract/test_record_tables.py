"""Any transaction's evidence, operations, outbox, judged windows and incidents."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from steward.errors import ConflictError, NotFoundError
from steward.gates import Evidence, Outcome
from steward.monitoring.tallies import OperationTally, Tally
from steward.monitoring.windows import Cause, IncidentState
from steward.testing.builders import MODEL, NOON, WEEK, a_day_tally, a_judged_window, an_incident
from steward.types import Window, digest_of


def change_and_fail(database, change):
    with database.begin() as tx:
        change(tx)
        raise ConflictError("somebody was quicker")


class TestEvidence:
    def test_evidence_is_found_by_its_digest(self, database):
        numbers = {"auc": 0.1 + 0.2, "huge": 1e22, "nan": float("nan"), "é": [1, {"x": -0.0}]}
        evidence = Evidence("evaluation", MODEL, {"numbers": numbers, "none": None, "nul": "\x00"})
        with database.begin() as tx:
            digest = tx.evidence.put(evidence)
        with database.begin() as tx:
            found = tx.evidence.get(digest)
        assert found == evidence
        assert found.digest == digest == evidence.digest

    def test_the_same_evidence_twice_is_one(self, database):
        with database.begin() as tx:
            assert tx.evidence.put(Evidence("a", MODEL)) == tx.evidence.put(Evidence("a", MODEL))

    @pytest.mark.parametrize("digest", ["", digest_of("nothing")])
    def test_unknown_evidence_is_not_found(self, database, digest):
        with database.begin() as tx, pytest.raises(NotFoundError, match="there is no evidence"):
            tx.evidence.get(digest)

    def test_all_there_is_comes_with_the_digest_it_goes_by(self, database):
        with database.begin() as tx:
            put = {tx.evidence.put(Evidence("report", MODEL, {"page": page, "share": 1e22})) for page in range(3)}
        with database.begin() as tx:
            contents = dict(tx.evidence.contents())
        assert {*contents} == put
        assert all(found.digest == digest for digest, found in contents.items())


class TestOperations:
    def test_the_same_step_answers_the_same(self, database):
        with database.begin() as tx:
            assert tx.operations.find("m/run/train", "inputs") is None
            tx.operations.record("m/run/train", "inputs", {"run_id": "r", "auc": 0.7, "list": (1, 2)})
        with database.begin() as tx:
            assert tx.operations.find("m/run/train", "inputs") == {"run_id": "r", "auc": 0.7, "list": [1, 2]}

    def test_a_key_used_again_with_other_inputs_is_refused(self, database):
        with database.begin() as tx:
            tx.operations.record("key", "inputs", {})
        with database.begin() as tx:
            with pytest.raises(ConflictError, match="done before with other inputs"):
                tx.operations.find("key", "other inputs")
            with pytest.raises(ConflictError, match="done before with other inputs"):
                tx.operations.record("key", "other inputs", {})

    def test_a_step_recorded_twice_is_refused(self, database):
        with database.begin() as tx:
            tx.operations.record("key", "inputs", {"first": True})
            with pytest.raises(ConflictError, match="done by another process meanwhile"):
                tx.operations.record("key", "inputs", {"first": False})
            assert tx.operations.find("key", "inputs") == {"first": True}


class TestOutbox:
    def test_effects_wait_in_order_until_they_are_delivered(self, database):
        with database.begin() as tx:
            tx.outbox.put("alias", {"model": MODEL})
            tx.outbox.put("notify", {"text": "é"})
        with database.begin() as tx:
            (first, *_), second = tx.outbox.pending()
            assert (second.kind, second.body) == ("notify", {"text": "é"})
            tx.outbox.delivered(first)
            tx.outbox.delivered(first)  # at least once: twice is no error
        with database.begin() as tx:
            assert tx.outbox.pending() == [second]

    def test_pending_takes_no_more_than_asked(self, database):
        with database.begin() as tx:
            for number in range(3):
                tx.outbox.put("alias", {"number": number})
            assert [effect.body["number"] for effect in tx.outbox.pending(limit=2)] == [0, 1]
            first, *_ = tx.outbox.pending(limit=1)
            assert [effect.body["number"] for effect in tx.outbox.pending(after=first.id)] == [1, 2]

    def test_a_delivery_is_begun_by_one(self, database):
        later = NOON + timedelta(minutes=5)
        with database.begin() as tx:
            tx.outbox.put("alias", {})
            (effect,) = tx.outbox.pending()
            assert (effect.attempts, effect.error, effect.retry_at) == (0, None, None)
            assert tx.outbox.take(effect.id, NOON, later)
            assert not tx.outbox.take(effect.id, NOON, later)
            (begun,) = tx.outbox.pending()
            assert (begun.attempts, begun.retry_at) == (1, later)
            assert tx.outbox.take(effect.id, later, later)
            tx.outbox.delivered(effect.id)
            assert not tx.outbox.take(effect.id, later + timedelta(days=1), later)

    def test_a_failed_delivery_stays_with_its_reason(self, database):
        with database.begin() as tx:
            tx.outbox.put("alias", {})
            (effect,) = tx.outbox.pending()
            tx.outbox.failed(effect.id, "it answered 500", NOON)
        with database.begin() as tx:
            (failed,) = tx.outbox.pending()
            assert (failed.error, failed.retry_at) == ("it answered 500", NOON)
            with pytest.raises(NotFoundError):
                tx.outbox.failed(failed.id + 1, "", NOON)
            assert not tx.outbox.take(failed.id + 1, NOON, NOON)

    def test_an_effect_of_a_rolled_back_change_is_never_wanted(self, database):
        with pytest.raises(ConflictError, match="quicker"):
            change_and_fail(database, lambda tx: tx.outbox.put("alias", {}))
        with database.begin() as tx:
            assert tx.outbox.pending() == []

    def test_an_unknown_effect_is_not_found(self, database):
        with database.begin() as tx, pytest.raises(NotFoundError, match="no effect 7"):
            tx.outbox.delivered(7)


class TestWindows:
    def week(self, number, **changes):
        step = timedelta(days=7 * number)
        return a_judged_window(window=Window(WEEK.start + step, WEEK.end + step), **changes)

    def test_a_window_is_read_back_as_it_was_judged(self, database):
        outcomes = {Cause.DATA: Outcome.PASSED, Cause.DRIFT: Outcome.FAILED, Cause.PERFORMANCE: Outcome.FAILED}
        judged = a_judged_window(causes=(Cause.DRIFT, Cause.PERFORMANCE), outcomes=outcomes)
        with database.begin() as tx:
            tx.windows.record(judged)
        with database.begin() as tx:
            assert tx.windows.recent(MODEL, 10) == [judged]

    def test_judging_again_replaces(self, database):
        again = a_judged_window(outcome=Outcome.PASSED, causes=())
        with database.begin() as tx:
            tx.windows.record(a_judged_window())
            tx.windows.record(again)
            assert tx.windows.recent(MODEL, 10) == [again]

    def test_the_newest_window_is_last_whatever_the_order_of_judging(self, database):
        weeks = [self.week(number) for number in range(4)]
        with database.begin() as tx:
            for judged in (weeks[2], weeks[0], weeks[3], weeks[1]):
                tx.windows.record(judged)
            tx.windows.record(replace(weeks[3], version=2))
            tx.windows.record(replace(weeks[3], model="other"))
            assert tx.windows.recent(MODEL, 2, version=1) == weeks[2:]
            assert tx.windows.recent(MODEL, 1) == [replace(weeks[3], version=2)]
            assert tx.windows.recent(MODEL, 0) == []


class TestTallies:
    LAST = WEEK.end.date() - timedelta(days=1)

    def days(self, count, **changes):
        return [a_day_tally(day=self.LAST - timedelta(days=back), **changes) for back in reversed(range(count))]

    def test_a_day_is_read_back_as_it_was_counted(self, database):
        counted = a_day_tally(sample=b"\x00rows\xff")
        with database.begin() as tx:
            tx.tallies.record(counted)
        with database.begin() as tx:
            (found,) = tx.tallies.days(MODEL, 1, counted.day, counted.day)
            assert found == counted
            assert found.digest == digest_of(counted.tally.to_json())

    def test_counting_again_replaces(self, database):
        again = a_day_tally(counted_at=NOON + timedelta(days=1), tally=Tally(digest_of("another profile")))
        with database.begin() as tx:
            tx.tallies.record(a_day_tally(sample=b"rows"))
            tx.tallies.record(again)
            assert tx.tallies.days(MODEL, 1, self.LAST, self.LAST) == [again]

    def test_days_are_of_one_version_oldest_first_both_ends_included(self, database):
        days = self.days(4)
        with database.begin() as tx:
            for counted in (days[2], days[0], days[3], days[1]):
                tx.tallies.record(counted)
            tx.tallies.record(replace(days[1], version=2))
            tx.tallies.record(replace(days[1], model="other"))
            assert tx.tallies.days(MODEL, 1, days[1].day, days[2].day) == days[1:3]
            assert tx.tallies.days(MODEL, 1, self.LAST + timedelta(days=1), self.LAST + timedelta(days=9)) == []

    def test_a_day_in_a_form_that_is_read_no_more_is_not_there(self, database):
        class OlderTally(Tally):
            def to_json(self):
                return {"format": 0, "profile": self.profile}

        with database.begin() as tx:
            tx.tallies.record(a_day_tally(tally=OlderTally(digest_of("profile"))))
            assert tx.tallies.days(MODEL, 1, self.LAST, self.LAST) == []

    def test_confirmed_days_keep_their_counts_and_sample(self, database):
        days, later = self.days(3, sample=b"rows"), NOON + timedelta(days=1)
        with database.begin() as tx:
            for counted in (*days, replace(days[0], version=2)):
                tx.tallies.record(counted)
            read = tx.tallies.days(MODEL, 1, days[0].day, days[2].day)
            tx.tallies.confirm([read[0], read[2], replace(read[2], day=read[2].day + timedelta(days=1))], later)
            tx.tallies.confirm([], later)
        with database.begin() as tx:
            known = tx.tallies.days(MODEL, 1, days[0].day, days[2].day)
            assert known == [replace(days[0], counted_at=later), days[1], replace(days[2], counted_at=later)]
            assert tx.tallies.days(MODEL, 2, days[0].day, days[2].day) == [replace(days[0], version=2)]

    def test_a_day_that_somebody_counted_again_is_not_confirmed(self, database):
        """Whoever read it before knows nothing of those counts."""
        (day,) = self.days(1)
        again = replace(day, tally=Tally(day.tally.profile, operation=OperationTally(rows=1)))
        with database.begin() as tx:
            tx.tallies.record(day)
            read = tx.tallies.days(MODEL, 1, day.day, day.day)
            tx.tallies.record(again)
            tx.tallies.confirm(read, NOON + timedelta(days=1))
        with database.begin() as tx:
            (found,) = tx.tallies.days(MODEL, 1, day.day, day.day)
            assert found.counted_at == again.counted_at

    def test_dropped_days_are_counted_again(self, database):
        days = self.days(4)
        with database.begin() as tx:
            for counted in (*days, replace(days[1], version=2), replace(days[1], model="other")):
                tx.tallies.record(counted)
            tx.tallies.drop(MODEL, days[1].day, days[2].day)
            assert tx.tallies.days(MODEL, 1, days[0].day, days[3].day) == [days[0], days[3]]
            assert tx.tallies.days(MODEL, 2, days[0].day, days[3].day) == []
            assert len(tx.tallies.days("other", 1, days[0].day, days[3].day)) == 1

    def test_expired_days_are_gone_from_every_version_of_one_model(self, database):
        days = self.days(3)
        with database.begin() as tx:
            for counted in (*days, replace(days[0], version=2), replace(days[0], model="other")):
                tx.tallies.record(counted)
            assert tx.tallies.expire(MODEL, days[1].day) == 2
            assert tx.tallies.days(MODEL, 1, days[0].day, days[2].day) == days[1:]
            assert len(tx.tallies.days("other", 1, days[0].day, days[2].day)) == 1
            assert tx.tallies.expire(MODEL, days[1].day) == 0


class TestIncidents:
    def test_an_incident_is_read_back_as_it_was_saved(self, database):
        with database.begin() as tx:
            assert tx.incidents.save(an_incident()) == an_incident()
        with database.begin() as tx:
            assert tx.incidents.all(MODEL) == tx.incidents.unresolved(MODEL) == [an_incident()]

    def test_saving_again_replaces_by_id(self, database):
        seen_again = an_incident(windows=2, state=IncidentState.ACKNOWLEDGED, report="report.html")
        with database.begin() as tx:
            tx.incidents.save(an_incident())
            tx.incidents.save(seen_again)
            assert tx.incidents.all(MODEL) == [seen_again]

    def test_what_people_did_and_what_belongs_to_it_is_kept(self, database):
        taken = an_incident(
            state=IncidentState.ACKNOWLEDGED,
            acknowledged_at=NOON,
            acknowledged_by="dana",
            passed=1,
            judged_to=NOON,
        ).linked("rollback", "event 7", NOON)
        with database.begin() as tx:
            tx.incidents.save(taken)
        with database.begin() as tx:
            assert tx.incidents.all(MODEL) == [taken]
        assert taken.linked("rollback", "event 7", NOON + timedelta(days=1)) is taken

    def test_an_incident_is_found_by_the_beginning_of_its_id(self, database):
        with database.begin() as tx:
            tx.incidents.save(an_incident(id="abc%1"))
            tx.incidents.save(an_incident(id="abc%2", model="other"))
            tx.incidents.save(an_incident(id="abcd3", version=2))
            assert [incident.id for incident in tx.incidents.find("abc%")] == ["abc%1", "abc%2"]
            assert tx.incidents.find("zzz") == []

    def test_one_unresolved_incident_per_model_version_and_cause(self, database):
        with database.begin() as tx:
            tx.incidents.save(an_incident())
            with pytest.raises(ConflictError, match="incident incident-1 of flight_delays@1"):
                tx.incidents.save(an_incident(id="incident-2"))
            tx.incidents.save(an_incident(id="incident-3", version=2))
            tx.incidents.save(an_incident(id="incident-4", cause=Cause.DATA))
            assert len(tx.incidents.unresolved(MODEL)) == 3

    def test_a_resolved_one_makes_room_and_stays_on_record(self, database):
        resolved = an_incident(state=IncidentState.RESOLVED, resolved_at=NOON)
        later = an_incident(id="incident-2", opened_at=NOON + timedelta(days=1))
        with database.begin() as tx:
            tx.incidents.save(resolved)
            tx.incidents.save(later)
            assert tx.incidents.all(MODEL) == [resolved, later]
            assert tx.incidents.unresolved(MODEL) == [later]
            with pytest.raises(ConflictError):
                tx.incidents.save(replace(resolved, state=IncidentState.OPEN))
