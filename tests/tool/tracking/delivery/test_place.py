"""Which runs share a deliverer."""

import os

from trackstack.tracking.delivery.place import own_place, settings_digest

SETTINGS = {"MLFLOW_TRACKING_URI": "http://me:hunter2@host", "HOME": "/home/me", "PATH": "/bin", "SHLVL": "1"}


def test_runs_whose_back_ends_are_set_up_alike_share_one():
    of_a_run = {"MLFLOW_RUN_NAME": "fox", "TRACKSTACK_SWEEP": "wide", "SLURM_JOB_ID": "7", "SHLVL": "2"}
    assert settings_digest(SETTINGS | of_a_run) == settings_digest(SETTINGS)


def test_others_have_their_own():
    others = [
        {"MLFLOW_TRACKING_URI": "http://me:hunter3@host"},
        {"WANDB_MODE": "offline"},
        {"TRACKSTACK_LOG_MODELS": "none"},
        {"https_proxy": "http://proxy"},
        {"AWS_SECRET_ACCESS_KEY": "x"},
    ]
    assert len({settings_digest(SETTINGS | other) for other in ({}, *others)}) == 1 + len(others)


def test_an_entry_is_read_back_and_a_damaged_one_still_waits(tmp_path):
    place = own_place(tmp_path)
    place.put("r0123456789ab", 2, ["/some/folder"], ended=True)
    (entry,) = place.list_waiting()
    assert (entry.run, entry.ended, entry.import_folders) == ("r0123456789ab", True, ["/some/folder"])
    entry.file.write_text("{")
    assert [(entry.run, entry.ended) for entry in place.list_waiting()] == [("r0123456789ab", False)]
    (user,) = (tmp_path / "runs/.delivery").iterdir()
    assert user.name == str(os.getuid())
    assert user.stat().st_mode & 0o077 == 0
