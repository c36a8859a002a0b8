"""What the report draws of DVCLive's tables."""

import contextlib

import pytest
from support.damage import DAMAGES, damaged

from pipeline.evaluate.drawings import curves
from trackstack import UserError

TABLE = "step\tval_loss\n" + "".join(f"{step}\t{1 / (1 + step)}\n" for step in range(20))


@pytest.fixture
def live(tmp_path):
    """DVCLive's folder, with one table."""
    folder = tmp_path / "live"
    (folder / "plots/metrics").mkdir(parents=True)
    (folder / "plots/metrics/val_loss.tsv").write_text(TABLE)
    return folder


@pytest.mark.parametrize("how", [*DAMAGES, "a byte that is no text", "a name that is another"])
def test_a_damaged_table_is_drawn_or_one_line(live, tmp_path, how):
    """DVC's hash tells a flipped digit, which no table does."""
    file = live / "plots/metrics/val_loss.tsv"
    if how in DAMAGES:
        with damaged(file, how, tmp_path):
            drawn_or_refused(live)
    else:
        file.write_bytes(b"step\tval_loss\n0\t\xff\n" if "byte" in how else b"step\tval_lots\n0\t1\n")
        with pytest.raises(UserError, match=rf"val_loss\.tsv: damaged; type: trackstack repair {live} && dvc repro"):
            curves(live)


def drawn_or_refused(live):
    with contextlib.suppress(UserError, OSError):  # each is one line: trackstack.describe_error
        assert all("<svg" in drawing for drawing in curves(live))
