import os
import stat

import numpy as np
import pytest

from scratch_ae import UserError, checkpoint


def test_arrays_and_header_come_back_to_the_bit(tmp_path):
    weights = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    arrays = {"1.w": weights, "t": np.array(7), "none": np.zeros(0)}
    header = {"experiment": {"name": "rosé", "filters": [1, 2]}, "step": 3, "rate": 1e-3}
    checkpoint.write(tmp_path / "a.npz", arrays, header)
    got, got_header = checkpoint.read(tmp_path / "a.npz")
    assert got_header == header
    assert got.keys() == arrays.keys()
    assert all(np.array_equal(got[k], arrays[k]) and got[k].dtype == arrays[k].dtype for k in arrays)
    assert os.listdir(tmp_path) == ["a.npz"], "no temporary file is left"


def test_an_old_checkpoint_stays_whole_when_writing_the_next_one_fails(tmp_path):
    file = tmp_path / "a.npz"
    checkpoint.write(file, {"w": np.ones(3)}, {})
    with pytest.raises(TypeError):
        checkpoint.write(file, {"w": np.zeros(3)}, {"not json": object()})
    assert checkpoint.read(file)[0]["w"].tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="Object arrays"):
        checkpoint.write(file, {"w": np.array([object()])}, {})
    assert os.listdir(tmp_path) == ["a.npz"]


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut short"])
def test_what_is_no_checkpoint_is_refused_in_a_sentence(tmp_path, content):
    file = tmp_path / "a.npz"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.npz is not a checkpoint or is damaged"):
        checkpoint.read(file)


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(13, "Permission denied", "a.npz")

    monkeypatch.setattr(np, "load", refused)
    with pytest.raises(PermissionError, match=r"a\.npz"):
        checkpoint.read(tmp_path / "a.npz")


def test_half_a_checkpoint_is_refused(tmp_path):
    file = tmp_path / "a.npz"
    checkpoint.write(file, {"w": np.ones(30_000)}, {})
    file.write_bytes(file.read_bytes()[:100_000])
    with pytest.raises(UserError, match="damaged"):
        checkpoint.read(file)


def test_a_bracket_that_was_changed_is_refused(tmp_path):
    """NumPy reads an array's shape as Python, and fails in Python's own ways."""
    file = tmp_path / "a.npz"
    checkpoint.write(file, {"w": np.ones((300, 4))}, {})  # too large for its checksum to come first
    content = file.read_bytes()
    assert content.count(b"(300, 4)") == 1
    file.write_bytes(content.replace(b"(300, 4)", b"(300, 4("))
    with pytest.raises(UserError, match="damaged"):
        checkpoint.read(file)


def test_another_programs_arrays_and_pickles_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", w=np.ones(3))
    with pytest.raises(UserError, match="damaged"):
        checkpoint.read(tmp_path / "other.npz")
    np.savez(tmp_path / "pickle.npz", header=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UserError, match="damaged"):
        checkpoint.read(tmp_path / "pickle.npz")


def test_arrays_alone_and_headers_of_another_form_are_refused(tmp_path):
    with open(tmp_path / "a.npz", "wb") as stream:
        np.save(stream, np.ones(3))
    with pytest.raises(UserError, match="damaged"):
        checkpoint.read(tmp_path / "a.npz")
    np.savez(tmp_path / "list.npz", header=np.frombuffer(b"[1, 2]", np.uint8))
    with pytest.raises(UserError, match="damaged"):
        checkpoint.read(tmp_path / "list.npz")


def test_a_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(UserError, match=r"there is no .*nothing\.npz\. Train first"):
        checkpoint.read(tmp_path / "nothing.npz")


def test_the_file_has_ordinary_permissions(tmp_path):
    checkpoint.write(tmp_path / "a.npz", {}, {})
    (tmp_path / "b").write_text("")
    assert stat.S_IMODE((tmp_path / "a.npz").stat().st_mode) == stat.S_IMODE((tmp_path / "b").stat().st_mode)


def test_the_one_before_is_kept(tmp_path):
    for k in range(3):
        checkpoint.write(tmp_path / "a.npz", {"w": np.full(3, k)}, {}, before=tmp_path / "before.npz")
    assert checkpoint.read(tmp_path / "a.npz")[0]["w"].tolist() == [2, 2, 2]
    assert checkpoint.read(tmp_path / "before.npz")[0]["w"].tolist() == [1, 1, 1]


def test_all_of_it_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    """What a power cut would show, seen at the moment of os.fsync."""
    seen, right = [], os.fsync

    def fsync(number):
        right(number)
        seen.append((os.fstat(number).st_size, sorted(os.listdir(tmp_path))))

    monkeypatch.setattr(os, "fsync", fsync)
    checkpoint.write(tmp_path / "a.npz", {"w": np.ones(5)}, {})
    assert seen == [((tmp_path / "a.npz").stat().st_size, ["a.npz.part"])]


def test_nothing_is_left_of_a_renaming_that_fails(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("read-only")

    checkpoint.write(tmp_path / "a.npz", {"w": np.ones(3)}, {})
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="read-only"):
        checkpoint.write(tmp_path / "a.npz", {"w": np.zeros(3)}, {}, before=tmp_path / "before.npz")
    assert os.listdir(tmp_path) == ["a.npz"]
    assert checkpoint.read(tmp_path / "a.npz")[0]["w"].tolist() == [1, 1, 1]


def test_damage_that_no_checksum_notices_is_refused(tmp_path):
    """The zip's list of contents has no checksum, and the one of a long array is compared only at its end."""
    file = tmp_path / "a.npz"
    checkpoint.write(file, {"w": np.arange(8000.0), "b": np.ones(3)}, {})
    whole = file.read_bytes()
    shorter = whole.replace(b"(8000,)", b"(2000,)")
    listed = whole.rindex(b"PK\1\2", 0, whole.rindex(b"PK\1\2"))  # the second last entry: its comment swallows the last
    swallowed = whole[: listed + 32] + b"\x32" + whole[listed + 33 :]
    for damaged in (shorter, swallowed):
        assert damaged != whole
        file.write_bytes(damaged)
        with pytest.raises(UserError, match="is damaged"):
            checkpoint.read(file)


def test_the_one_before_is_kept_where_files_have_no_second_names(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("not supported")

    monkeypatch.setattr(os, "link", refuse)
    for k in range(2):
        checkpoint.write(tmp_path / "a.npz", {"w": np.full(3, k)}, {}, before=tmp_path / "before.npz")
    assert checkpoint.read(tmp_path / "before.npz")[0]["w"].tolist() == [0, 0, 0]
    assert sorted(os.listdir(tmp_path)) == ["a.npz", "before.npz"]
