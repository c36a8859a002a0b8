"""Following imports finds every module, wherever the import stands, and leaves trackers out."""

from trackstack.sources import imported_sources


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_imports_are_followed_to_their_ends(tmp_path):
    write(
        tmp_path,
        {
            "stages/x.py": "def main():\n    from trackstack.a import thing\n",
            "src/trackstack/__init__.py": "",
            "src/trackstack/a.py": "import json\nfrom trackstack import b\nimport trackstack.deep.c\n",
            "src/trackstack/b.py": "from trackstack.a import again\nimport trackstack.tracking.run\n",
            "src/trackstack/deep/__init__.py": "",
            "src/trackstack/deep/c.py": "from trackstack import tracking\n",
            "src/trackstack/tracking/__init__.py": "",
            "src/trackstack/tracking/run.py": "",
            "src/trackstack/unused.py": "",
        },
    )
    found = imported_sources([tmp_path / "stages/x.py"], tmp_path / "src")
    names = sorted(str(file.relative_to(tmp_path)) for file in found)
    assert names == [
        "src/trackstack/__init__.py",
        "src/trackstack/a.py",
        "src/trackstack/b.py",
        "src/trackstack/deep/__init__.py",
        "src/trackstack/deep/c.py",
        "stages/x.py",
    ]
