"""Claims about which files hold bars, and how they are packed."""

import gzip
import zipfile

import pytest

from sensequant_assets.sources import packing
from sensequant_assets.sources.packing import BarFile, bars_files, members, passed_over


def test_files_of_folders_and_in_capitals_are_found_and_those_still_written_are_not(tmp_path):
    for name in ("A.CSV", "b.parquet", "2024/C.csv.gz", "2024/d.ZIP", "e.feather", "f.tsv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    for name in (".g.csv", "h.csv.tmp", "i.part", "notes.txt", "book.xlsx"):
        (tmp_path / name).write_text("x")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "j.csv").write_text("x")
    found = [str(path.relative_to(tmp_path)) for path in bars_files(tmp_path)]
    assert found == ["2024/C.csv.gz", "2024/d.ZIP", "A.CSV", "b.parquet", "e.feather", "f.tsv"]
    assert [path.name for path in passed_over(tmp_path)] == ["book.xlsx", "notes.txt"]


def test_a_folder_that_links_to_its_own_parent_is_entered_once(tmp_path):
    (tmp_path / "a.csv").write_text("x")
    (tmp_path / "again").symlink_to(tmp_path)
    assert bars_files(tmp_path) == [tmp_path / "a.csv"]


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("TCS.csv", ("TCS",)),
        ("TCS.NS.CSV.GZ", ("TCS.NS",)),
        ("M&M.parquet", ("M&M",)),
        ("TCS/2024.csv", ("2024", "TCS")),
        ("symbol=TCS/part-0.parquet", ("part-0", "TCS")),
    ],
)
def test_a_file_may_be_named_for_what_its_name_or_folder_says(tmp_path, name, names):
    assert BarFile(tmp_path / name, root=tmp_path).names == names


def test_each_file_of_an_archive_is_one_and_is_named_with_it(tmp_path):
    with zipfile.ZipFile(tmp_path / "TCS.zip", "w") as archive:
        for name in ("in/a.csv", "b.CSV", "readme.txt", "__MACOSX/._a.csv"):
            archive.writestr(name, f"{name}\n")
    first, second = members(tmp_path / "TCS.zip")
    assert str(second) == f"{tmp_path}/TCS.zip/in/a.csv"
    assert first.names == ("b", "TCS")
    with second.open() as stream:
        assert stream.read() == b"in/a.csv\n"


def test_an_archive_without_bars_and_one_that_is_none_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme.txt", "x")
    (tmp_path / "b.zip").write_bytes(b"PK nothing")
    with pytest.raises(ValueError, match="an archive without a file of bars"):
        members(tmp_path / "a.zip")
    with pytest.raises(ValueError, match="no zip archive"):
        members(tmp_path / "b.zip")


def test_what_unpacks_to_more_than_memory_or_is_cut_is_refused(tmp_path, monkeypatch):
    whole = gzip.compress(b"0123456789" * 1000)
    (tmp_path / "a.csv.gz").write_bytes(whole)
    (tmp_path / "b.csv.gz").write_bytes(whole[:-9])
    with pytest.raises(ValueError, match="it cannot be unpacked"):
        BarFile(tmp_path / "b.csv.gz").open()
    monkeypatch.setattr(packing, "MOST_BYTES", 5000)
    with pytest.raises(ValueError, match=r"it unpacks to 0\.0 GB"):
        BarFile(tmp_path / "a.csv.gz").open()
