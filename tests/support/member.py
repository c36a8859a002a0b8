"""A member of a group, as a program: `python -m support.member CHECKOUT STORE RUN LOSS`, with that person's rights.

It joins the group's storage, records a run in the group's home, and puts a file of its own into the group's cache.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from support.sharing import record
from trackstack.sharing.transfer import object_of_file, open_repository
from trackstack.storage.group import init_storage

if __name__ == "__main__":
    checkout, store, run, loss = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], float(sys.argv[4])
    os.umask(0o022)
    os.chdir(checkout)
    list(init_storage(store, checkout, None, with_home=True))
    more = {name: os.environ[name] for name in ("HOME", "LOGNAME", "DVC_SITE_CACHE_DIR", "PYTHONPATH")}
    record(checkout, run, loss, TRACKSTACK_HOME=str(store / "home"), TRACKSTACK_SINKS="sqlite", **more)
    (checkout / "new.txt").write_text(run)
    with open_repository(checkout) as repo:
        object_of_file(repo, checkout / "new.txt")
