"""What replicas of the service report and get, without a Ray that runs."""

import pytest

from affectlens.cluster import replica
from affectlens.cluster.replica import ReplicaBoard, ReplicaReport, ServedApplication
from affectlens.cluster.serve import ReplicaPlan
from affectlens.serve.settings import ServeSettings


def report(requests: int = 0, stopping: bool = False) -> ReplicaReport:
    return ReplicaReport(requests=requests, stopping=stopping, counts=[])


def test_the_service_is_idle_once_every_replica_refuses_and_answers_nothing_more() -> None:
    board = ReplicaBoard()
    assert not board.report("a", report(2)) and not board.report("b", report())
    board.begin_to_stop()
    assert board.report("a", report(2)) and not board.is_idle()
    board.report("a", report(1, stopping=True))
    board.report("b", report(stopping=True))
    assert not board.is_idle()
    board.report("a", report(stopping=True))
    assert board.is_idle()


def test_a_replica_that_reports_nothing_more_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    board = ReplicaBoard()
    board.report("killed", report(1))
    assert board.counts().keys() == {"killed"} and not board.is_idle()
    monkeypatch.setattr(replica, "SILENT_SECONDS", 0.0)
    assert board.is_idle() and not board.counts()


def test_a_replica_has_as_many_decoders_as_cores_unless_others_were_chosen() -> None:
    def decoders(*assignments: str) -> int:
        settings = ServeSettings().assigned(assignments)
        application = ServedApplication(names=("m",), settings=settings, assignments=assignments)
        return application.on(3, gpu=False).settings.decoders

    assert (decoders(), decoders("decoders=7"), decoders("pictures=7")) == (3, 7, 3)


def test_a_replica_answers_on_the_gpu_that_ray_gave_it_and_else_on_the_cpu() -> None:
    def device(given: str, gpu: bool) -> str:
        settings = ServeSettings()
        return ServedApplication(names=("m",), settings=settings, device=given).on(1, gpu).device

    assert [device(each, True) for each in ("auto", "cuda", "cuda:1", "cpu")] == [
        "cuda",
        "cuda",
        "cuda",
        "cpu",
    ]
    assert [device(each, False) for each in ("auto", "cuda", "cpu", "mps")] == ["cpu", "cpu", "cpu", "mps"]


def test_a_plan_states_what_runs_where() -> None:
    here = ReplicaPlan(workers=1, cores=2, gpu=False, film_gpu=False, machines=1, head=None)
    assert str(here) == "1 replica with 2 CPUs each, and one for films, on this machine"
    there = ReplicaPlan(workers=3, cores=1, gpu=True, film_gpu=False, machines=2, head="192.0.2.1")
    assert str(there) == (
        "3 replicas with 1 CPU and a GPU each, and one for films, on 2 machines; "
        "connections are taken by 192.0.2.1"
    )
