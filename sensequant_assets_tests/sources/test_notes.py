"""Claims about what is said of how bars were read."""

from sensequant_assets.sources.notes import Note, told


def test_what_is_so_in_many_files_is_one_sentence_that_names_a_few():
    notes = [Note("Rows are left out", f"S{number}", f"s{number}.csv", 2) for number in range(160)]
    assert told(notes) == ["Rows are left out: 320 in s0.csv, s1.csv, s2.csv and 157 more."]


def test_a_note_without_a_file_names_the_symbol_and_one_without_either_nothing():
    assert told([Note("Symbols without bars", "TCS"), Note("Symbols without bars", "INFY")]) == [
        "Symbols without bars: TCS, INFY."
    ]
    assert told([Note("All is well")]) == ["All is well."]


def test_the_same_note_is_told_once():
    assert told([Note("Rows are left out", "TCS", "a.csv", 2)] * 3) == ["Rows are left out: 2 in a.csv."]
