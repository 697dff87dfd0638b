"""Claims about telling files by their content."""

import os
from pathlib import Path

from sensequant_assets.sources.digests import Digests, content_digest


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def rewritten_unseen(path: Path, text: str) -> None:
    """Other content of the same size under the same time stamp."""
    stat = path.stat()
    assert len(text) == stat.st_size
    path.write_text(text)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_content_decides_and_not_size_or_time(tmp_path):
    file, digests = written(tmp_path / "a.csv", "one"), Digests()
    before = digests.of([file])
    os.utime(file)
    assert digests.of([file]) == before
    rewritten_unseen(file, "two")
    assert digests.of([file]) != before


def test_a_file_that_goes_away_is_left_out(tmp_path):
    one, other = written(tmp_path / "a.csv", "one"), tmp_path / "b.csv"
    assert list(Digests().of([one, other])) == [one]


def test_beyond_the_bytes_of_a_look_each_file_has_its_turn(tmp_path):
    ticks = iter(range(100))
    files = [written(tmp_path / f"{name}.csv", "one") for name in "abc"]
    digests = Digests(bytes_a_look=3, clock=lambda: float(next(ticks)))
    before = digests.of(files)
    # What is new is hashed at once, however much it is.
    assert list(before) == files
    for file in files:
        rewritten_unseen(file, "two")
    changed = []
    for _ in files:
        now = digests.of(files)
        changed.append({file.stem for file in files if now[file] != before[file]})
    assert changed == [{"a"}, {"a", "b"}, {"a", "b", "c"}]


def test_a_file_that_looks_changed_is_hashed_at_once(tmp_path):
    files = [written(tmp_path / f"{name}.csv", "one") for name in "abc"]
    digests = Digests(bytes_a_look=1)
    before = digests.of(files)
    files[2].write_text("longer")
    assert digests.of(files)[files[2]] != before[files[2]]


def test_names_and_contents_make_the_digest_of_many_files_and_their_directory_does_not(tmp_path):
    def digest(directory: str, **texts: str) -> str:
        (tmp_path / directory).mkdir()
        files = [written(tmp_path / directory / f"{name}.csv", text) for name, text in texts.items()]
        return content_digest(Digests().of(files))

    first = digest("1", a="one", b="two")
    assert digest("2", b="two", a="one") == first
    assert digest("3", a="one", c="two") != first
    assert digest("4", a="two", b="one") != first
    assert digest("5", a="one") != first
