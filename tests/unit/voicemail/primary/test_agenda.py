"""The agenda is driven by hand here: time is a number, and every job's end is told to it."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from store.model import OutboxItem, Work
from voicemail.primary.agenda import (
    Agenda,
    Done,
    Job,
    Outcome,
    Plan,
    Postpone,
    Recovered,
    Step,
    Verdict,
)

SENT = Outcome(Verdict.SENT, "sent")
REFUSED = Outcome(Verdict.REFUSED, "550 no such user")
FAILED = Outcome(Verdict.FAILED, "answered 404")
SILENT = Outcome(Verdict.SILENT, "no answer")
UNKNOWN = Outcome(Verdict.UNKNOWN, "the store is away")
STOPPED = Outcome(Verdict.STOPPED, "the lease is over")
START = datetime(2026, 3, 4, tzinfo=UTC)


def item(number: int, attempts: int = 0) -> OutboxItem:
    box = UUID(int=1000)
    return OutboxItem(UUID(int=number), Work.LAMP, box, None, START + timedelta(seconds=number), attempts)


def agenda(*lanes: str, limit: int = 2, lamps: bool = True, room: int = 100) -> Agenda:
    made = Agenda(lambda: 0.0)
    for lane in lanes:
        made.open_lane(lane, limit=limit, room=room, lamps=lamps)
    return made


def plan(subject: str, *lanes: str) -> Plan:
    return Plan(subject, frozenset(lanes))


def ends(steps: Iterable[Step]) -> list[tuple[str, int]]:
    return [(type(s).__name__, s.item.id.int) for s in steps if not isinstance(s, Recovered)]


def subjects(jobs: Iterable[Job]) -> list[tuple[str, object]]:
    return [(job.lane, job.subject) for job in jobs]


def finish(work: Agenda, job: Job, outcome: Outcome, now: float) -> list[Step]:
    """A job ends, and the store records at once what follows."""
    steps = work.finished(job, outcome, now)
    work.landed(job)
    return steps


def test_an_item_is_done_when_all_its_destinations_are() -> None:
    work = agenda("a", "b")
    assert work.add(item(1), plan("1001", "a", "b"), 0) == []
    a, b = work.ready(0)
    assert finish(work, a, SENT, 0) == []
    assert finish(work, b, SENT, 0) == [Done(item(1), "sent")]


def test_an_item_with_nowhere_to_go_is_done_with_the_plans_word() -> None:
    assert agenda("a").add(item(1), Plan("1001", otherwise="no mail host"), 0) == [
        Done(item(1), "no mail host")
    ]


def test_an_item_in_hand_is_not_taken_twice_even_while_its_end_is_recorded() -> None:
    work = agenda("a")
    work.add(item(1), plan("1001", "a"), 0)
    assert work.add(item(1), plan("1001", "a"), 0) == []
    (job,) = work.ready(0)
    assert work.ready(0) == []
    assert ends(finish(work, job, SENT, 0)) == [("Done", 1)]
    assert work.add(item(1), plan("1001", "a"), 0) == [] and work.ready(0) == []
    work.forget(item(1), ended=True)
    assert not work.holds(item(1))


def test_items_for_one_lamp_become_one_job_and_are_done_together_after_the_send() -> None:
    work = agenda("a", limit=1)
    work.add(item(9), plan("1009", "a"), 0)
    (busy,) = work.ready(0)
    for number in (1, 2, 3):
        work.add(item(number), plan("1001", "a"), 0)
    finish(work, busy, SENT, 0)
    (job,) = work.ready(0)
    assert [i.id.int for i in job.items] == [1, 2, 3]
    assert ends(finish(work, job, SENT, 0)) == [("Done", 1), ("Done", 2), ("Done", 3)]


def test_a_lamp_in_flight_is_not_sent_again_before_it_landed() -> None:
    work = agenda("a", limit=5)
    work.add(item(1), plan("1001", "a"), 0)
    (first,) = work.ready(0)
    work.add(item(2), plan("1001", "a"), 0)
    assert work.ready(0) == [] and work.wake_at(0) is None
    finish(work, first, SENT, 0)
    (second,) = work.ready(0)
    assert [i.id.int for i in second.items] == [2]


def test_no_more_jobs_than_the_lane_takes_at_once() -> None:
    work = agenda("a", limit=2)
    for number in range(5):
        work.add(item(number), plan(f"100{number}", "a"), 0)
    assert len(work.ready(0)) == 2


def test_a_silent_destination_delays_no_other() -> None:
    work = agenda("dead", "good")
    for number in range(4):
        work.add(item(number), plan(f"100{number}", "dead", "good"), 0)
    good = [job for job in work.ready(0) if job.lane == "good"]
    while good:
        for job in good:
            finish(work, job, SENT, 0)
        good = [job for job in work.ready(0) if job.lane == "good"]
    assert not work.lanes["good"].fresh and not work.lanes["good"].flying
    assert len(work.lanes["dead"].flying) == 2


def test_a_silent_destination_gives_its_items_back_at_once_and_takes_no_new_ones() -> None:
    work = agenda("dead", limit=1)
    for number in (1, 2):
        work.add(item(number), plan(f"100{number}", "dead"), 0)
    (job,) = work.ready(0)
    steps = finish(work, job, SILENT, 0)
    assert sorted(ends(steps)) == [("Postpone", 1), ("Postpone", 2)]
    assert ends(work.add(item(3), plan("1003", "dead"), 1)) == [("Postpone", 3)]
    closed = work.lanes["dead"].closed_until
    assert all(s.delay.total_seconds() >= closed for s in steps if isinstance(s, Postpone))


def test_a_lane_that_was_silent_is_tried_with_one_job_and_then_sends_all_its_lamps_again() -> None:
    work = agenda("pbx", limit=8)
    for number in range(4):
        work.add(item(number), plan(f"100{number}", "pbx"), 0)
    first, *others = work.ready(0)
    finish(work, first, SILENT, 0)
    for job in others:
        finish(work, job, SILENT, 0)
    assert work.lanes["pbx"].failures == 1
    assert work.ready(4.9) == []
    assert work.wake_at(4.9) == pytest.approx(5.0)
    (probe,) = work.ready(5)
    assert (probe.subject, probe.items) == (first.subject, ())
    assert work.ready(5) == []
    assert finish(work, probe, SENT, 5) == [Recovered("pbx")]
    work.reassert("pbx", ["1000", "1001", "1002"])
    assert len(work.ready(6)) >= 1


def test_a_destination_that_answers_others_keeps_its_lane_when_packets_are_lost() -> None:
    work = agenda("pbx", limit=8)
    work.add(item(1), plan("1001", "pbx"), 0)
    work.add(item(2), plan("1002", "pbx"), 0)
    work.reassert("pbx", ["1003"])
    answered, lost, routine = work.ready(0)
    finish(work, answered, SENT, 1)
    assert ends(finish(work, lost, SILENT, 2)) == [("Postpone", 2)]
    finish(work, routine, SILENT, 2)
    assert [job.subject for job in work.ready(2)] == ["1002", "1003"], "at once: it was a packet, perhaps"
    work.add(item(3), plan("1004", "pbx"), 5)
    (job,) = work.ready(5)
    finish(work, job, SILENT, 7)
    assert work.ready(7) == [] and work.lanes["pbx"].failures == 1


def test_a_lane_that_stays_silent_is_tried_ever_more_rarely_but_every_minute() -> None:
    work, now, pauses = agenda("pbx"), 0.0, []
    work.reassert("pbx", ["1001"])
    for _ in range(8):
        (probe,) = work.ready(now)
        finish(work, probe, SILENT, now)
        pauses.append((work.wake_at(now) or 0) - now)
        now += pauses[-1]
    assert pauses == [5, 10, 20, 40, 45, 45, 45, 45]


def test_mail_lanes_need_no_probe_and_recover_without_a_resync() -> None:
    work = agenda("mail", lamps=False, limit=5)
    work.add(item(1), plan("m1", "mail"), 0)
    (job,) = work.ready(0)
    assert ends(finish(work, job, SILENT, 0)) == [("Postpone", 1)]
    work.forget(item(1), ended=False)
    assert work.wake_at(0) is None
    work.add(item(1, attempts=1), plan("m1", "mail"), 6)
    (job,) = work.ready(6)
    assert finish(work, job, SENT, 6) == [Done(item(1, attempts=1), "sent")]
    assert work.lanes["mail"].failures == 0


def test_one_refused_item_does_not_close_its_lane() -> None:
    work = agenda("a", lamps=False)
    work.add(item(1), plan("m1", "a"), 0)
    work.add(item(2), plan("m2", "a"), 0)
    one, two = work.ready(0)
    assert finish(work, one, REFUSED, 0) == [Done(item(1), "refused: 550 no such user")]
    assert finish(work, two, FAILED, 0) == [Postpone(item(2), timedelta(seconds=5), "a: answered 404")]
    work.add(item(3), plan("m3", "a"), 0)
    assert len(work.ready(0)) == 1


def test_an_item_that_comes_back_is_tried_only_where_it_failed() -> None:
    work = agenda("a", "b")
    work.add(item(1), plan("1001", "a", "b"), 0)
    a, b = work.ready(0)
    finish(work, a, SENT, 0)
    assert ends(finish(work, b, FAILED, 0)) == [("Postpone", 1)]
    work.forget(item(1), ended=False)
    again = item(1, attempts=1)
    work.add(again, plan("1001", "a", "b"), 10)
    (job,) = work.ready(10)
    assert job.lane == "b"
    assert ends(finish(work, job, SENT, 10)) == [("Done", 1)]


def test_of_several_items_for_a_lamp_that_failed_only_the_newest_is_kept() -> None:
    work = agenda("a", limit=1)
    for number in (2, 1, 3):
        work.add(item(number), plan("1001", "a"), 0)
    (job,) = work.ready(0)
    steps = finish(work, job, FAILED, 0)
    assert sorted(ends(steps)) == [("Done", 1), ("Done", 2), ("Postpone", 3)]


def test_when_the_store_does_not_answer_nothing_ends_and_all_pauses_for_a_moment() -> None:
    work = agenda("a")
    work.add(item(1), plan("1001", "a"), 0)
    work.reassert("a", ["1002"])
    one, two = work.ready(0)
    assert finish(work, one, UNKNOWN, 0) == [] and finish(work, two, UNKNOWN, 0) == []
    assert not work.holds(item(1)), "it is fetched again"
    assert work.ready(0.9) == [] and work.wake_at(0.5) == 1.0
    assert subjects(work.ready(1)) == [("a", "1002")]


def test_fresh_work_goes_before_routine_and_takes_its_place() -> None:
    work = agenda("a", limit=1)
    work.reassert("a", ["1001", "1002"])
    work.add(item(2), plan("1002", "a"), 0)
    (job,) = work.ready(0)
    assert (job.subject, len(job.items)) == ("1002", 1)
    finish(work, job, SENT, 0)
    assert subjects(work.ready(1)) == [("a", "1001")]
    assert not work.lanes["a"].routine


def test_routine_work_is_paced_and_fresh_work_is_not() -> None:
    work = Agenda(lambda: 0.0, pace=100)
    work.open_lane("a", limit=1000)
    work.reassert("a", range(1000))
    sent, now = 0, 50.0
    while now < 51.0:
        for job in work.ready(now):
            finish(work, job, SENT, now)
            sent += 1
        now = max(now + 0.0005, work.wake_at(now) or now)
    assert 90 <= sent <= 100
    for number in range(50):
        work.add(item(number), plan(f"f{number}", "a"), now)
    assert sum(1 for job in work.ready(now) if job.items) == 50


def test_destinations_take_turns_in_routine_work() -> None:
    work = Agenda(lambda: 0.0, pace=100)
    sent, now = {"a": 0, "b": 0}, 50.0
    for lane in sent:
        work.open_lane(lane)
        work.reassert(lane, range(1000))
    while now < 51.0:
        for job in work.ready(now):
            finish(work, job, SENT, now)
            sent[job.lane] += 1
        now = max(now + 0.0005, work.wake_at(now) or now)
    assert abs(sent["a"] - sent["b"]) <= 1 and 90 <= sum(sent.values()) <= 100


def test_a_destination_that_is_gone_is_owed_nothing() -> None:
    work = agenda("a", "peer", limit=1)
    for number in (1, 2):
        work.add(item(number), plan(f"100{number}", "a", "peer"), 0)
    a, peer = work.ready(0)
    assert finish(work, a, SENT, 0) == []
    (a,) = work.ready(0)
    finish(work, a, SENT, 0)
    assert sorted(ends(work.close_lane("peer"))) == [("Done", 1), ("Done", 2)]
    assert finish(work, peer, SILENT, 0) == []


def test_a_lane_with_no_room_leaves_work_in_the_store_until_it_has_room_and_lets_others_pass() -> None:
    work = agenda("slow", "quick", limit=1, room=2, lamps=False)
    assert not [step for n in range(5) for step in work.add(item(n), plan(f"m{n}", "slow"), 0)]
    assert [work.holds(item(n)) for n in range(5)] == [True, True, False, False, False]
    work.add(item(9), plan("m9", "slow", "quick"), 0)
    slow, quick = work.ready(0)
    assert finish(work, quick, SENT, 0) == [] and not work.holds(item(9)), "the store keeps it"
    assert not work.hungry
    finish(work, slow, SENT, 0)
    assert work.hungry
    work.add(item(9), plan("m9", "slow", "quick"), 0)
    (slow,) = work.ready(0)
    finish(work, slow, SENT, 0)
    assert subjects(work.ready(0)) == [("slow", "m9")], "what was satisfied is not done twice"


def test_when_the_lease_ends_nothing_new_starts_and_what_is_in_flight_still_reports() -> None:
    work = agenda("mail", limit=1, lamps=False)
    for number in (1, 2):
        work.add(item(number), plan(f"m{number}", "mail"), 0)
    (job,) = work.ready(0)
    work.clear()
    assert work.ready(0) == [] and not work.holds(item(2))
    assert finish(work, job, SENT, 0) == [Done(item(1), "sent")]


def test_an_item_in_flight_to_one_of_two_destinations_when_the_lease_ended_is_not_done() -> None:
    work = agenda("a", "b", limit=1)
    work.add(item(9), plan("1009", "b"), 0)
    work.add(item(1), plan("1001", "a", "b"), 0)
    (a, _) = work.ready(0)
    work.clear()
    assert finish(work, a, SENT, 0) == [] and not work.holds(item(1))


def test_a_job_stopped_by_the_lease_leaves_its_item_to_be_fetched_again() -> None:
    work = agenda("mail", lamps=False)
    work.add(item(1), plan("m1", "mail"), 0)
    (job,) = work.ready(0)
    assert finish(work, job, STOPPED, 0) == []
    assert not work.holds(item(1))


def test_after_somebody_else_took_over_a_late_end_says_nothing() -> None:
    work = agenda("mail", lamps=False)
    work.add(item(1), plan("m1", "mail"), 0)
    (job,) = work.ready(0)
    work.abandon()
    assert finish(work, job, SENT, 0) == [] and work.in_hand == 0


def test_a_place_is_free_only_when_the_end_is_recorded() -> None:
    work = agenda("mail", limit=1, lamps=False)
    for number in (1, 2):
        work.add(item(number), plan(f"m{number}", "mail"), 0)
    (job,) = work.ready(0)
    work.finished(job, SENT, 0)
    assert work.ready(0) == []
    work.landed(job)
    assert subjects(work.ready(0)) == [("mail", "m2")]


def test_what_is_being_recorded_when_the_lease_ends_is_still_in_hand() -> None:
    work = agenda("mail", lamps=False)
    work.add(item(1), plan("m1", "mail"), 0)
    (job,) = work.ready(0)
    assert ends(work.finished(job, SENT, 0)) == [("Done", 1)]
    work.clear()
    assert work.holds(item(1)), "or it would be fetched and sent again"


# ---- lamps that are not taken


def failed_lamp(work: Agenda, now: float, number: int = 1) -> list[Step]:
    work.add(item(number), plan("1001", "pbx"), now)
    (job,) = work.ready(now)
    return finish(work, job, FAILED, now)


def test_a_lamp_that_is_refused_rests_and_comes_back_by_itself() -> None:
    work = agenda("pbx")
    assert ends(failed_lamp(work, 0)) == [("Postpone", 1)]
    trouble = work.troubles.all["pbx", "1001"]
    assert (trouble.since, trouble.tries, trouble.why, trouble.again) == (0, 1, "answered 404", 5)
    moments, now = [], 0.0
    for _ in range(12):
        now = work.wake_at(now) or 0
        moments.append(now)
        (job,) = work.ready(now)
        assert job.items == ()
        finish(work, job, FAILED, now)
    gaps = [later - sooner for sooner, later in zip(moments, moments[1:], strict=False)]
    assert gaps == [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 2700, 2700]
    (job,) = work.ready(work.wake_at(now) or 0)
    finish(work, job, SENT, now + 2700)
    assert not work.troubles.all and work.wake_at(now + 2700) is None


def test_whatever_asks_for_a_lamp_that_rests_waits_as_long() -> None:
    work = agenda("pbx")
    failed_lamp(work, 0)
    (step,) = work.add(item(2), plan("1001", "pbx"), 1)
    assert isinstance(step, Postpone) and step.delay == timedelta(seconds=4) and "404" in step.why
    work.reassert("pbx", ["1001", "1002"])
    assert subjects(work.ready(1)) == [("pbx", "1002")], "the others are not kept back"


def test_a_lamp_that_rests_is_tried_at_once_when_its_destination_is_hurried() -> None:
    work = agenda("pbx")
    failed_lamp(work, 0)
    work.hurry("pbx", 1)
    assert subjects(work.ready(1)) == [("pbx", "1001")]


def test_what_is_known_of_lamps_is_forgotten_when_their_destination_was_restarted() -> None:
    work = agenda("pbx")
    failed_lamp(work, 0)
    work.add(item(2), plan("1002", "pbx"), 10)
    job, again = work.ready(10)
    finish(work, job, SILENT, 20)
    finish(work, again, SILENT, 20)
    work.hurry("pbx", 21)
    (probe,) = work.ready(21)
    assert finish(work, probe, SENT, 21) == [Recovered("pbx")] and not work.troubles.all
    assert work.lanes["pbx"].trouble is None


def test_a_closed_lane_says_since_when_and_why() -> None:
    work, now = agenda("pbx"), 0.0
    work.reassert("pbx", ["1001"])
    for _ in range(3):
        (probe,) = work.ready(now)
        finish(work, probe, SILENT, now)
        now = work.wake_at(now) or 0
    trouble = work.lanes["pbx"].trouble
    assert trouble and (trouble.since, trouble.tries, trouble.why, trouble.again) == (0, 3, "no answer", 35)


def test_lamps_that_changed_go_before_those_that_are_only_repeated() -> None:
    work = agenda("pbx", limit=1)
    work.reassert("pbx", ["1001", "1002", "1003"])
    work.reassert("pbx", ["1003", "1004"], changed=True)
    seen = []
    for number in range(4):
        (job,) = work.ready(number)
        finish(work, job, SENT, number)
        seen.append(job.subject)
    assert seen == ["1003", "1004", "1001", "1002"]


def test_an_item_with_several_lamps_on_one_trunk_is_done_when_all_are() -> None:
    work = agenda("pbx", limit=5)
    several = Plan("1001", frozenset({"pbx"}), more=frozenset({("pbx", "2001"), ("gone", "3001")}))
    work.add(item(1), several, 0)
    one, two = work.ready(0)
    assert {one.subject, two.subject} == {"1001", "2001"}
    assert finish(work, one, SENT, 0) == []
    assert ends(finish(work, two, FAILED, 0)) == [("Postpone", 1)]
    work.forget(item(1), ended=False)
    work.add(item(1, attempts=1), several, 10)
    jobs = [job for job in work.ready(10) if job.items]
    assert [job.subject for job in jobs] == [two.subject]
