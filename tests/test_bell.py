"""The bell between those who order and the worker."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from app import open_studio
from studio.bell import FILE, LOOPBACK, Bell, Ear
from studio.contracts import GenerateRequest
from studio.dispatch import Lookout
from studio.jobs import LANE_LOCAL
from studio.settings import Settings


def test_a_ring_ends_the_waiting_and_many_mean_the_same(tmp_path: Path) -> None:
    bell, ear = Bell(tmp_path), Ear(tmp_path)
    assert not ear.wait(0.01), "nobody rang"
    for _ in range(50):
        bell.ring()
    assert ear.wait(60), "heard at once, not after a minute"
    assert not ear.wait(0.05), "fifty rings are one"
    ear.close()


def test_only_this_computer_can_ring(tmp_path: Path) -> None:
    ear = Ear(tmp_path)
    port = int((tmp_path / FILE).read_text())
    heard = [line.split()[1] for line in Path("/proc/net/udp").read_text().splitlines()[1:]] if Path("/proc/net/udp").exists() else []
    if heard:
        assert f"0100007F:{port:04X}" in heard, "bound to 127.0.0.1"
        assert f"00000000:{port:04X}" not in heard
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, pytest.raises(OSError):
        other.bind((LOOPBACK, port))
    ear.close()


@pytest.mark.parametrize("said", ["", "no number", "-1", "70000", "9" * 400, "\x00", "1"])
def test_a_bell_that_leads_nowhere_is_rung_in_vain_and_nothing_more(tmp_path: Path, said: str) -> None:
    (tmp_path / FILE).write_text(said)
    Bell(tmp_path).ring()
    (tmp_path / FILE).write_bytes(b"\xff\xfe")
    Bell(tmp_path).ring()
    Bell(tmp_path / "no such folder").ring()


def test_an_ear_without_a_folder_to_write_to_waits_its_time(tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    ear = Ear(tmp_path / "a file")
    began = time.monotonic()
    assert not ear.wait(0.05)
    assert time.monotonic() - began >= 0.05
    ear.close()


def test_where_nobody_can_tell_of_changes_the_bell_does(tmp_path: Path) -> None:
    class Blind:
        def change_mark(self) -> None:
            return None

        def queued_lanes(self) -> None:
            return None

    over = threading.Event()
    lookout = Lookout(Blind(), 600, ear=Ear(tmp_path), anyway_s=600, over=over.is_set)  # pyright: ignore[reportArgumentType]
    lookout.wait(LANE_LOCAL)
    looked = threading.Event()

    def look() -> None:
        lookout.wait(LANE_LOCAL)
        looked.set()

    threading.Thread(target=look, daemon=True).start()
    assert not looked.wait(0.2), "it waits for ten minutes"
    Bell(tmp_path).ring()
    assert looked.wait(60), "and is told"
    over.set()


def test_an_order_rings_and_a_retry_does_too(settings: Settings) -> None:
    studio = open_studio(settings)
    ear = Ear(settings.data)
    job = studio.generate(GenerateRequest(prompt="a person", width=64, height=64, steps=2)).job_id
    assert ear.wait(60)
    studio.cancel(job)
    assert not ear.wait(0.05), "to cancel puts nothing into the queue"
    studio.retry(job)
    assert ear.wait(60)
    ear.close()
