"""Following imports finds every module, wherever the import stands; parts of the tool change no output."""

from pathlib import PurePath

import pytest

from trackstack.core.code_deps import changes_no_output, imported_sources


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_imports_are_followed_to_their_ends_in_all_packages(tmp_path):
    write(
        tmp_path,
        {
            "stages/x.py": "def main():\n    from mine.a import thing\n",
            "src/mine/__init__.py": "",
            "src/mine/a.py": "import json\nfrom mine import b\nimport mine.deep.c\n",
            "src/mine/b.py": "from mine.a import again\nimport trackstack.tracking.run\n",
            "src/mine/deep/__init__.py": "",
            "src/mine/deep/c.py": "from trackstack import core\n",
            "src/mine/unused.py": "",
            "src/trackstack/__init__.py": "",
            "src/trackstack/core/__init__.py": "",
            "src/trackstack/tracking/__init__.py": "",
            "src/trackstack/tracking/run.py": "",
        },
    )
    sources = imported_sources([tmp_path / "stages/x.py"], tmp_path / "src")
    assert sorted(str(file.relative_to(tmp_path)) for file in sources) == [
        "src/mine/__init__.py",
        "src/mine/a.py",
        "src/mine/b.py",
        "src/mine/deep/__init__.py",
        "src/mine/deep/c.py",
        "src/trackstack/__init__.py",
        "src/trackstack/core/__init__.py",
        "src/trackstack/tracking/__init__.py",
        "src/trackstack/tracking/run.py",
        "stages/x.py",
    ]


@pytest.mark.parametrize(
    ("path", "neutral"),
    [
        ("src/trackstack/__init__.py", True),
        ("src/trackstack/tracking/run.py", True),
        ("src/trackstack/cluster/sweep/task.py", True),
        ("src/trackstack/core/guard.py", False),
        ("src/trackstack/training/device.py", False),
        ("src/pipeline/cli.py", False),
        ("stages/train.py", False),
    ],
)
def test_what_tracks_a_run_or_submits_it_changes_no_output(path, neutral):
    assert changes_no_output(PurePath(path)) is neutral
