"""Every text that the recorded runs failed with becomes one of our errors, with a remedy; their outputs are read as they were printed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from aitoolkit.toolkits import small_recipe

from engines.aitoolkit import ARCHES, default_recipe
from engines.aitoolkit.faults import TESTED, failed, killed
from engines.aitoolkit.watch import JobTable, Printed, read_losses
from studio.pins import AITOOLKIT, pin_of
from studio.settings import Settings

FAILURES = {
    "41_missing_name": ("CONTRACT_MISMATCH", "0.12.26"),
    "42_missing_type": ("CONTRACT_MISMATCH", "0.12.26"),
    "43_missing_training_folder": ("CONTRACT_MISMATCH", "0.12.26"),
    "44_missing_name_or_path": ("CONTRACT_MISMATCH", "0.12.26"),
    "45_unknown_type": ("CONTRACT_MISMATCH", "0.12.26"),
    "46_bad_yaml": ("CONTRACT_MISMATCH", "0.12.26"),
    "47_unset_env": ("CONTRACT_MISMATCH", "0.12.26"),
    "50_missing_dataset_ui": ("ENGINE_FAILED", "Start the training again"),
    "51_empty_dataset": ("INVALID_FIELD_VALUE", "Add pictures"),
    "53_missing_model_local": ("MODEL_INVALID", "another model"),
    "54_missing_model_hub_offline": ("DOWNLOAD_FAILED", "connection"),
    "55_flux_hub_offline": ("DOWNLOAD_FAILED", "connection"),
    "56_adamw8bit_on_cpu": ("DEPENDENCY_MISSING", "pip install"),
    "61_oom_inject_4x": ("OUT_OF_MEMORY", "Train with"),
    "62_oom_model_load": ("OUT_OF_MEMORY", "low VRAM on"),
    "73b_stray_resume": ("ENGINE_FAILED", "new training"),
    "74b_trunc_resume": ("MODEL_INVALID", "Start the training again"),
    "78b_job_named_sam_resume": ("ENGINE_FAILED", "new training"),
}


@pytest.mark.parametrize("tag", FAILURES)
def test_a_recorded_failure_becomes_one_of_our_errors(tag: str, recorded: dict[str, Any], tmp_path: Path) -> None:
    printed = replay(recorded[tag], tmp_path, "any")
    assert printed.error()
    error = failed(printed.error(), printed.traceback(), default_recipe("flux").model_copy(update={"batch": 2}), ARCHES["flux"])
    code, remedy = FAILURES[tag]
    assert error.code == code and remedy in error.remedy
    if said := recorded[tag]["row"]:
        assert said["status"] == "error"
        again = failed(said["info"], printed.traceback(), default_recipe("flux"), ARCHES["flux"])
        assert again.code == code, "the database says the same in whole"


def test_texts_that_only_its_users_met_are_known_too() -> None:
    gated = (
        "401 Client Error. (Request ID: Root=1) Cannot access gated repo for url "
        "https://huggingface.co/api/models/black-forest-labs/FLUX.1-dev. Access to model black-forest-labs/FLUX.1-dev is restricted."
    )
    error = failed(gated, "", default_recipe("flux"), ARCHES["flux"])
    assert (
        error.code == "MODEL_GATED" and "https://huggingface.co/black-forest-labs/FLUX.1-dev" in error.remedy and "HF_TOKEN" in error.remedy
    )
    for text, code in (
        ("[Errno 28] No space left on device", "DISK_FULL"),
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes", "OUT_OF_MEMORY"),
        ("Job stopped", "CONFLICT"),
        ("something nobody knows", "ENGINE_FAILED"),
        ("", "ENGINE_FAILED"),
    ):
        assert failed(text, "", small_recipe(), ARCHES["sd15"]).code == code
    assert killed(-9, by_memory=True).code == "OUT_OF_MEMORY"
    assert "SIGKILL" in killed(-9, by_memory=False).message


def test_every_way_of_being_kept_out_leads_to_the_terms_and_to_the_token() -> None:
    for said in (
        "403 Client Error: Forbidden for url: https://huggingface.co/black-forest-labs/FLUX.2-dev/resolve/main/model_index.json",
        "GatedRepoError: Your request to access model black-forest-labs/FLUX.2-dev is awaiting a review from the repo authors.",
        "Invalid user token.",
    ):
        error = failed(said, "", default_recipe("flux2"), ARCHES["flux2"])
        assert error.code == "MODEL_GATED" and error.field == "model"
        assert "https://huggingface.co/black-forest-labs/FLUX.2-dev" in error.remedy
        assert "https://huggingface.co/settings/tokens" in error.remedy and "HF_TOKEN" in error.remedy


def test_out_of_memory_names_the_settings_that_take_less_and_what_is_known_of_them() -> None:
    hungry = default_recipe("flux").model_copy(update={"batch": 2, "gradient_checkpointing": False})
    error = failed("CUDA out of memory. Tried to allocate 2.00 GiB", "", hungry, ARCHES["flux"])
    assert error.code == "OUT_OF_MEMORY"
    for words in ("gradient checkpointing on", "low VRAM on", "a batch of 1", "pictures of 512 pixels"):
        assert words in error.remedy
    assert "unknown until measured" in error.remedy or "GB" in error.remedy


def test_the_version_that_errors_speak_of_is_the_one_that_setup_installs(settings: Settings) -> None:
    pin = pin_of(settings, AITOOLKIT)
    assert f"{pin.version} (commit {pin.commit[:7]})" == TESTED


def test_steps_and_losses_are_read_from_recorded_bars(recorded: dict[str, Any], tmp_path: Path) -> None:
    printed = replay(recorded["10_ui_full"], tmp_path, "ui_full")
    assert (printed.bar, printed.total) == (60, 60)
    assert sorted(printed.bars)[:60] == list(range(1, 61))
    assert printed.bars[1].loss == pytest.approx(0.9453) and printed.bars[1].rate == pytest.approx(1e-4)
    assert printed.bars[2].loss == pytest.approx(1.148), "the last while the bar stood there"
    assert printed.resumed_from is None and not printed.stopped() and not printed.error()


def test_bars_of_other_programs_and_plain_letters_are_told_apart(recorded: dict[str, Any], tmp_path: Path) -> None:
    hashes = replay(recorded["70_log_flag"], tmp_path, "logflag")
    assert (hashes.bar, hashes.total) == (6, 6)
    assert not replay(recorded["10_ui_full"], tmp_path, "another").training


def test_a_bar_that_comes_in_pieces_is_read_as_in_one(recorded: dict[str, Any], tmp_path: Path) -> None:
    data = recorded["26_savenow_ui"]["stderr"].encode()
    printed = Printed(tmp_path / "out", tmp_path / "err", "savenow_ui")
    for place in range(0, len(data), 37):
        with (tmp_path / "err").open("ab") as file:
            file.write(data[place : place + 37])
        printed.follow()
    assert printed.bars == replay(recorded["26_savenow_ui"], tmp_path / "whole", "savenow_ui").bars


def test_what_it_says_is_given_once_and_without_bars(recorded: dict[str, Any], tmp_path: Path) -> None:
    run = recorded["61_oom_inject_4x"]
    (tmp_path / "out").write_bytes(run["stdout"].encode())
    (tmp_path / "err").write_bytes(run["stderr"].encode() + b"half a line")
    printed = Printed(tmp_path / "out", tmp_path / "err", "oom4", tmp_path / "told")
    printed.follow()
    lines = printed.lines()
    said = [line for _, line in lines]
    assert "Running job: oom4" in said and "enable LoRA for U-Net" in said and "half a line" not in said
    assert not [line for line in said if "it/s" in line or "#" in line or "==" in line or "\x1b" in line]
    worries = [line for level, line in lines if level == logging.WARNING]
    assert worries.count("OOM during training step, skipping batch 2/3") == 1 and printed.skipped == 3
    faults = [line for level, line in lines if level == logging.ERROR]
    assert "Traceback (most recent call last):" in faults
    assert "Error running job: OOM during training step 3 times in a row, aborting training" in faults
    assert printed.lines() == []
    # Taken up by another worker: what was said meanwhile, and nothing twice.
    with (tmp_path / "err").open("ab") as file:
        file.write(b" and its end\n")
    later = Printed(tmp_path / "out", tmp_path / "err", "oom4", tmp_path / "told")
    assert later.skipped == 3
    later.follow()
    assert later.lines() == [(logging.INFO, "half a line and its end")]
    # A new process prints from the start.
    (tmp_path / "out").write_text("Running 1 job\n", "utf-8")
    anew = Printed(tmp_path / "out", tmp_path / "err", "oom4", tmp_path / "told")
    anew.follow()
    assert (logging.INFO, "Running 1 job") in anew.lines()


def test_a_resume_says_where_it_goes_on(recorded: dict[str, Any], tmp_path: Path) -> None:
    for tag, step in (("21_resume_after_sigint", 60), ("29_resume_completed", 60), ("74c_trunc_optimizer_resume", 10)):
        printed = replay(recorded[tag], tmp_path / tag, "any")
        assert printed.resuming and printed.resumed_from == step
    assert replay(recorded["73b_stray_resume"], tmp_path / "stray", "stray").resumed_from is None


def test_a_stop_is_told_from_an_end(recorded: dict[str, Any], tmp_path: Path) -> None:
    for tag in ("20_sigint_plain", "23_sigint_ui"):
        assert recorded[tag]["rc"] == 0 and replay(recorded[tag], tmp_path / tag, "any").stopped()
    assert replay(recorded["24_stopflag_ui"], tmp_path / "flag", "any").error() == "Job stopped"
    assert replay(recorded["60_oom_inject_once"], tmp_path / "oom", "any").skipped == 1


def test_a_database_that_is_not_there_is_nothing_and_a_row_that_is_missing_too(tmp_path: Path) -> None:
    assert JobTable(tmp_path / "none.db", "a").read() is None
    table = JobTable(tmp_path / "jobs.db", "a")
    table.begin()
    assert JobTable(tmp_path / "jobs.db", "b").read() is None
    (tmp_path / "odd.db").write_bytes(b"this is no database, whatever it is called")
    assert JobTable(tmp_path / "odd.db", "a").read() is None
    assert read_losses(tmp_path / "odd.db", 0) == [] == read_losses(tmp_path / "none.db", 0)


def replay(run: dict[str, Any], folder: Path, name: str) -> Printed:
    folder.mkdir(exist_ok=True)
    (folder / "out").write_bytes(run["stdout"].encode())
    (folder / "err").write_bytes(run["stderr"].encode())
    printed = Printed(folder / "out", folder / "err", name)
    printed.follow()
    return printed
