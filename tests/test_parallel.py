import threading
import time

import pytest

from scratch_ae.parallel import Team, processors, shards


@pytest.mark.parametrize("N", [0, 1, 2, 3, 7, 8, 9, 16, 31, 32, 100])
@pytest.mark.parametrize("count", [1, 2, 3, 16])
def test_shards_cover_every_image_once_and_are_equal(N, count):
    parts = shards(N, count)
    assert [k for part in parts for k in range(N)[part]] == list(range(N))
    assert len(parts) == max(1, min(N, count))
    sizes = [part.stop - part.start for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert N == 0 or min(sizes) > 0


def test_the_threads_that_were_asked_for_work_at_once():
    from scratch_ae.experiments import Experiment
    from scratch_ae.model import AutoEncoder

    assert AutoEncoder(Experiment("small", (), 8, (2,), 1), threads=3).team.threads == 3
    meet = threading.Barrier(3, timeout=20)
    Team(3).map(lambda part: meet.wait(), range(3))


def test_results_come_in_order_and_from_several_threads():
    meet = threading.Barrier(2, timeout=20)  # passes only if two threads are inside at once

    def work(part):
        meet.wait()
        return part, threading.current_thread().name

    results = Team(2).map(work, range(4))
    assert [part for part, _ in results] == [0, 1, 2, 3]
    assert len({name for _, name in results}) == 2


def test_blas_has_one_thread_inside_and_its_own_number_afterwards():
    team = Team(2)

    def counts():
        return [library["num_threads"] for library in team.blas.info() if library["user_api"] == "blas"]

    before = counts()
    assert before, "NumPy's BLAS was not found, so its threads cannot be limited"
    inside = team.map(lambda part: counts(), range(2))
    assert all(set(numbers) == {1} for numbers in inside)
    assert all(set(numbers) == {2} for numbers in team.map(lambda part: counts(), range(1)))  # all help the only one
    assert counts() == before


def test_two_teams_at_once_leave_blas_as_it_was():
    Team(1).map(lambda part: 0, range(1))
    before = [library["num_threads"] for library in Team(1).blas.info()]
    threads = [
        threading.Thread(target=lambda: [Team(2).map(lambda part: 0, range(4)) for _ in range(50)]) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [library["num_threads"] for library in Team(1).blas.info()] == before


def test_an_error_in_a_thread_reaches_the_caller():
    def work(part):
        raise ValueError("in a thread")

    with pytest.raises(ValueError, match="in a thread"):
        Team(2).map(work, range(4))


@pytest.mark.parametrize("wrong", [0, 1])
def test_after_an_error_nothing_more_is_begun(wrong):
    begun, meet = [], threading.Barrier(2, timeout=20)

    def work(part):
        begun.append(part)
        meet.wait()  # both threads have begun
        if part == wrong:
            raise ValueError("in a thread")
        time.sleep(0.5)

    with pytest.raises(ValueError, match="in a thread"):
        Team(2).map(work, range(6))
    assert sorted(begun) == [0, 1]


def test_processors():
    assert Team().threads == processors() >= 1


def test_a_map_inside_a_map_is_refused_and_does_not_wait_for_ever():
    team = Team(2)
    with pytest.raises(RuntimeError, match="cannot be shared once more"):
        team.map(lambda part: Team(1).map(abs, [part]), range(2))
