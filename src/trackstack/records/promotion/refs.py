"""The branch of an alias, and the change of several refs at once."""

from __future__ import annotations

from pathlib import Path

from trackstack import UserError
from trackstack.records.promotion.versions import NamedModel
from trackstack.system.git import git


class AliasBranch:
    """The branch of an alias, which moves with it."""

    def __init__(self, root: Path, model: NamedModel, alias: str):
        self.name = f"promoted/{model.name}/{alias}"
        self._root, self._ref = root, f"refs/heads/{self.name}"
        form = "--format=%(refname)%00%(objectname)%00%(worktreepath)"
        lines = git(root, "for-each-ref", form, "refs/heads/promoted").splitlines()
        tips = {ref: (tip, place) for ref, tip, place in (line.split("\0") for line in lines)}
        for ref in tips:
            if self._ref.startswith(f"{ref}/") or ref.startswith(f"{self._ref}/"):
                other = ref.removeprefix("refs/heads/")
                raise UserError(
                    f"branch {other} is in the way of branch {self.name}; rename it: "
                    f"git branch -m {other} {other.replace('/', '-')}-branch"
                )
        self._tip: str | None
        self._tip, self._place = tips.get(self._ref, (None, ""))
        if self._tip and self._tip not in {version.commit for version in model.versions}:
            raise UserError(
                f"branch {self.name} has a commit that is no version of {model.name}; keep it under another name: "
                f"git branch -m {self.name} {self.name.replace('/', '-')}"
            )

    def moved_to(self, commit: str) -> list[str]:
        """What moves it, for `git update-ref --stdin`."""
        if self._tip == commit:
            return []
        if self._tip is None:
            return [f"create {self._ref} {commit}"]
        self._refuse_checked_out()
        return [f"update {self._ref} {commit} {self._tip}"]

    def removed(self) -> list[str]:
        """What removes it, for `git update-ref --stdin`."""
        if self._tip is None:
            return []
        self._refuse_checked_out()
        return [f"delete {self._ref} {self._tip}"]

    def _refuse_checked_out(self) -> None:
        if self._place:
            leave = f"git -C '{self._place}' switch --detach"
            raise UserError(f"branch {self.name} is checked out in {self._place}; leave it: {leave}")


def change_refs(root: Path, name: str, changes: list[str]) -> None:
    """All of the changes or none."""
    try:
        git(
            root, "update-ref", "-m", f"trackstack: {name}", "--stdin", stdin="".join(f"{line}\n" for line in changes)
        )
    except UserError as error:
        raise UserError(
            f"{error}; nothing was changed: if somebody else promotes {name} now, type it again"
        ) from None
