"""Jobs in threads: their end within a step, their line, their owners, and that nothing of them stays."""

import gc
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from convscope.errors import ImageError
from convscope.explorer.cache import Cache, Outcome, key_of
from convscope.explorer.jobs import Drawn, Full, Jobs, Reading, Status, Work
from convscope.progress import Steps, Watcher


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    queue = Jobs(Cache(tmp_path), workers=1, waiting=2)
    yield queue
    assert queue.close()


def _key(name: str) -> str:
    return key_of("test", {"name": name})


def _until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.002)


def _ended(jobs: Jobs, id: str) -> Status:
    def status() -> Status:
        found = jobs.status(id)
        assert found is not None
        return found

    _until(lambda: status().ended)
    return status()


class _Long:
    """Work of a million steps that counts those it took."""

    def __init__(self) -> None:
        self.steps, self.running = 0, threading.Event()

    def __call__(self, watcher: Watcher) -> Outcome:
        steps = Steps(10**6, watcher)
        for _ in range(10**6):
            self.steps += 1
            self.running.set()
            time.sleep(0.001)
            steps.done(preview=self.steps)
        return Outcome({})


def _quick(watcher: Watcher) -> Outcome:
    Steps(1, watcher).done()
    return Outcome({"answer": 42}, {"a.png": b"picture"})


def test_a_result_is_kept_and_found_again_without_work(jobs: Jobs) -> None:
    first = jobs.submit("test", _key("a"), _quick)
    assert first.state in ("waiting", "running", "done")
    ended = _ended(jobs, first.id)
    assert (ended.state, ended.done, ended.total) == ("done", 1, 1)
    found = jobs.cache.get(ended.key)
    assert found is not None
    assert found.told == {"answer": 42}

    def never(_: Watcher) -> Outcome:
        raise AssertionError

    again = jobs.submit("test", _key("a"), never)
    assert again.state == "done"
    assert again.key == ended.key


def test_the_same_work_is_done_once_for_all_who_ask(jobs: Jobs) -> None:
    work = _Long()
    first, second = (jobs.submit("test", _key("a"), work, owner=owner) for owner in ("one", "two"))
    assert first.id == second.id
    work.running.wait(30)
    jobs.release("one")
    time.sleep(0.05)
    assert jobs.status(first.id) is not None
    assert not _status(jobs, first.id).ended
    jobs.release("two")
    assert _ended(jobs, first.id).state == "cancelled"


def test_a_page_cancels_for_itself_alone(jobs: Jobs) -> None:
    work, heard = _Long(), list[frozenset[str | None]]()
    job, _ = (jobs.submit("test", _key("a"), work, owner=owner) for owner in ("one", "two"))
    work.running.wait(30)
    given_up = jobs.cancel(job.id, "one")
    assert given_up is not None
    assert given_up.state == "cancelled"
    end = jobs.listen(lambda _, owners: heard.append(owners))
    _until(lambda: bool(heard))
    assert not _status(jobs, job.id).ended
    end()
    assert set(heard) == {frozenset({"two"})}
    # Whoever comes back finds it as far as it is.
    assert jobs.submit("test", _key("a"), work, owner="one").id == job.id
    jobs.cancel(job.id, "two")
    jobs.cancel(job.id, "one")
    assert _ended(jobs, job.id).state == "cancelled"


def _status(jobs: Jobs, id: str) -> Status:
    found = jobs.status(id)
    assert found is not None
    return found


def test_a_job_of_nobody_outlives_the_pages(jobs: Jobs) -> None:
    work = _Long()
    job = jobs.submit("test", _key("a"), work)
    jobs.submit("test", _key("a"), work, owner="page")
    work.running.wait(30)
    jobs.release("page")
    time.sleep(0.05)
    assert not _status(jobs, job.id).ended
    jobs.cancel(job.id)
    assert _ended(jobs, job.id).state == "cancelled"


def test_cancel_stops_within_a_step(jobs: Jobs) -> None:
    work = _Long()
    job = jobs.submit("test", _key("a"), work)
    _until(lambda: work.steps > 5)
    jobs.cancel(job.id)
    taken = work.steps
    assert _ended(jobs, job.id).state == "cancelled"
    assert work.steps <= taken + 1
    assert _key("a") not in jobs.cache


def test_a_cancelled_job_can_be_asked_for_again_at_once(jobs: Jobs) -> None:
    work = _Long()
    first = jobs.submit("test", _key("a"), work)
    work.running.wait(30)
    jobs.cancel(first.id)
    second = jobs.submit("test", _key("a"), _quick)
    assert second.id != first.id
    assert _ended(jobs, second.id).state == "done"


def test_so_many_wait_and_no_more(jobs: Jobs) -> None:
    works = [_Long() for _ in range(3)]
    running = jobs.submit("test", _key("0"), works[0])
    works[0].running.wait(30)
    waiting = [jobs.submit("test", _key(str(at)), works[at]) for at in (1, 2)]
    with pytest.raises(Full, match="2 jobs are waiting already"):
        jobs.submit("test", _key("3"), _quick)
    # What is on its way already, or done, is no more work.
    assert jobs.submit("test", _key("1"), works[1]).id == waiting[0].id
    cancelled = jobs.cancel(waiting[0].id)
    assert cancelled is not None
    assert cancelled.state == "cancelled"
    last = jobs.submit("test", _key("3"), _quick)
    jobs.cancel(running.id)
    jobs.cancel(waiting[1].id)
    assert _ended(jobs, last.id).state == "done"
    assert works[1].steps == 0


def test_what_is_behind_gives_way_but_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convscope.explorer.jobs._LONGEST_WAIT", 0.4)
    looked_at = threading.Event()
    jobs = Jobs(Cache(tmp_path), workers=1, waiting=2, others=looked_at.is_set)
    behind, before = _Long(), _Long()
    back = jobs.submit("test", _key("behind"), behind, behind=True)
    _until(lambda: behind.steps > 20)
    # It has a thread of its own.
    front = jobs.submit("test", _key("before"), before)
    _until(lambda: before.steps > 20)
    taken, began = behind.steps, time.monotonic()
    _until(lambda: behind.steps > taken + 2)
    assert time.monotonic() - began > 0.5
    jobs.cancel(front.id)
    _until(lambda: behind.steps > taken + 50)
    looked_at.set()
    taken, began = behind.steps, time.monotonic()
    _until(lambda: behind.steps > taken + 2)
    assert time.monotonic() - began > 0.5
    # While it waits it can be cancelled.
    monkeypatch.setattr("convscope.explorer.jobs._LONGEST_WAIT", 1000.0)
    time.sleep(0.5)
    jobs.cancel(back.id)
    assert _ended(jobs, back.id).state == "cancelled"
    assert jobs.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only there a thread can come second")
def test_what_computes_comes_second(jobs: Jobs) -> None:
    def own() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def told(watcher: Watcher) -> Outcome:
        return Outcome({"nice": own()})

    usual = own()
    for behind in (False, True):
        ended = _ended(jobs, jobs.submit("test", _key(str(behind)), told, behind=behind).id)
        found = jobs.cache.get(ended.key)
        assert found is not None
        assert found.told["nice"] == max(10, usual)
    assert own() == usual


def test_where_threads_can_not_come_second_steps_wait_as_long_as_they_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convscope.explorer.jobs.come_second", lambda: False)
    looked_at = threading.Event()
    jobs = Jobs(Cache(tmp_path), workers=1, waiting=2, others=looked_at.is_set)
    taken: list[float] = []

    def work(watcher: Watcher) -> Outcome:
        steps = Steps(6, watcher)
        for at in range(6):
            began = time.monotonic()
            time.sleep(0.1)
            if at == 3:
                looked_at.set()
            steps.done()
            taken.append(time.monotonic() - began)
        return Outcome({})

    assert _ended(jobs, jobs.submit("test", _key("a"), work).id).state == "done"
    assert jobs.close()
    assert max(taken[:3]) < min(taken[3:])
    assert min(taken[3:]) >= 0.2


def test_what_is_done_anew_is_not_found(jobs: Jobs) -> None:
    _ended(jobs, jobs.submit("test", _key("a"), _quick).id)
    assert jobs.submit("test", _key("a"), _quick).state == "done"
    assert jobs.submit("test", _key("a"), _quick, anew=True).state != "done"


def test_memory_returns(jobs: Jobs) -> None:
    held: list[weakref.ref[torch.Tensor]] = []
    ready = threading.Event()

    def work_with(large: torch.Tensor) -> Work:
        def work(watcher: Watcher) -> Outcome:
            own = torch.zeros(1000)
            held.extend([weakref.ref(large), weakref.ref(own)])
            steps = Steps(10**6, watcher)
            while True:
                ready.set()
                time.sleep(0.001)
                steps.done(preview=own + large)

        return work

    job = jobs.submit("test", _key("a"), work_with(torch.zeros(1000)), draw=lambda preview: Drawn(bytes(len(preview))))
    ready.wait(30)
    _until(lambda: jobs.preview(job.id))
    jobs.cancel(job.id)
    assert _ended(jobs, job.id).state == "cancelled"
    _until(lambda: gc.collect() is not None and all(each() is None for each in held))
    assert len(held) == 2


def test_errors_are_told_in_words_without_paths(jobs: Jobs) -> None:
    def wrong(_: Watcher) -> Outcome:
        raise ImageError("can't read '/home/ada/dog.png': gone")

    def broken(_: Watcher) -> Outcome:
        raise KeyError("/home/ada")

    def greedy(_: Watcher) -> Outcome:
        raise MemoryError

    told = []
    for at, work in enumerate((wrong, broken, greedy)):
        ended = _ended(jobs, jobs.submit("test", _key(str(at)), work).id)
        assert ended.state == "failed"
        told.append(ended.error or "")
    assert told[0] == "can't read 'dog.png': gone"
    assert "ada" not in told[1]
    assert "memory" in told[2]
    # The thread goes on.
    assert _ended(jobs, jobs.submit("test", _key("after"), _quick).id).state == "done"


def test_listeners_hear_of_steps_and_the_end(jobs: Jobs) -> None:
    heard: list[tuple[Status, frozenset[str | None]]] = []
    end = jobs.listen(lambda status, owners: heard.append((status, owners)))

    def work(watcher: Watcher) -> Outcome:
        steps = Steps(3, watcher)
        for _ in range(3):
            time.sleep(0.06)
            steps.done(preview="seen")
        return Outcome({})

    reading = Reading(2, 3, 0.0, 1.0, False, "logit")
    job = jobs.submit("test", _key("a"), work, draw=lambda preview: Drawn(preview.encode(), reading), owner="page")
    _ended(jobs, job.id)
    assert [status.state for status, _ in heard][:: len(heard) - 1] == ["running", "done"]
    assert [status.done for status, _ in heard if status.state == "running"] == [0, 1, 2, 3]
    assert heard[-1][0].preview == reading
    assert heard[-1][0].previews == 1  # no more often than every quarter of a second
    assert all(owners == {"page"} for _, owners in heard)
    end()
    _ended(jobs, jobs.submit("test", _key("b"), _quick).id)
    assert all(status.key == job.key for status, _ in heard)


def test_what_was_shown_last_can_be_asked_for_a_while(jobs: Jobs) -> None:
    def shows(watcher: Watcher) -> Outcome:
        Steps(1, watcher).done(preview="seen")
        return Outcome({})

    ids = []
    for at in range(6):
        ids.append(jobs.submit("test", _key(str(at)), shows, draw=lambda preview: Drawn(preview.encode())).id)
        _ended(jobs, ids[-1])
        assert jobs.preview(ids[-1]) == Drawn(b"seen")
    assert [jobs.preview(id) is not None for id in ids] == [False, False, True, True, True, True]


def test_old_jobs_are_forgotten(jobs: Jobs) -> None:
    ids = []
    for at in range(70):
        ids.append(jobs.submit("test", _key(str(at)), _quick).id)
        _ended(jobs, ids[-1])
    assert jobs.status(ids[0]) is None
    assert len(jobs.all()) <= 65


def test_a_stop_ends_all_within_three_seconds(tmp_path: Path) -> None:
    jobs = Jobs(Cache(tmp_path), workers=2, waiting=4)
    works = [_Long() for _ in range(4)]
    ids = [jobs.submit("test", _key(str(at)), work).id for at, work in enumerate(works)]
    for work in works[:2]:
        work.running.wait(30)
    began = time.monotonic()
    assert jobs.close()
    assert time.monotonic() - began < 1
    assert [_status(jobs, id).state for id in ids] == ["cancelled"] * 4
    with pytest.raises(Full, match="stopping"):
        jobs.submit("test", _key("later"), _quick)
