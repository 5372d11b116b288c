"""Photographs that arrive, or do not: a stand-in for the kaggle command, real zip files, damaged and hostile ones."""

import errno
import io
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scratch_ae import UserError, download

STAND_IN = """
import os, shutil, sys, time
assert sys.argv[1:4] == ["datasets", "download", "l3llff/flowers"], sys.argv
assert sys.argv[4] == "--path" and sys.argv[6:] == ["--quiet"], sys.argv
archive = os.path.join(sys.argv[5], "flowers.zip")
said = os.environ.get("KAGGLE_SAYS", "")
print(said, file=sys.stderr)
if said:
    sys.exit(1)
if os.path.exists(archive):
    print("gone on")
with open(os.environ["KAGGLE_HOLDS"], "rb") as stream, open(archive, "wb") as out:
    out.write(stream.read(1000))
    out.flush()
    time.sleep(float(os.environ.get("KAGGLE_TAKES", 0)))
    shutil.copyfileobj(stream, out)
"""


def picture(colour: int, kind: str = "JPEG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (40, 50), (colour, 90, 200)).save(stream, kind)
    return stream.getvalue()


TREE = {f"flowers/{name}/{k}.jpg": picture(k) for name in ("rose", "iris") for k in range(3)}


def zipped(file: Path, entries: dict) -> Path:
    """A zip file of names, or ZipInfos, and bytes."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file


def tree(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def run(*arguments: object) -> int:
    return download.main([str(a) for a in arguments])


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def kaggle(here, monkeypatch):
    """A package kaggle that does what the environment says."""
    (here / "packages/kaggle").mkdir(parents=True)
    (here / "packages/kaggle/__main__.py").write_text(STAND_IN)
    (here / "packages/kaggle/__init__.py").write_text("")
    monkeypatch.syspath_prepend(here / "packages")
    monkeypatch.setenv("PYTHONPATH", str(here / "packages"))
    monkeypatch.setenv("KAGGLE_HOLDS", str(zipped(here / "set.zip", TREE)))
    return monkeypatch


# ---- the three ways -------------------------------------------------------------------------------------------------


def test_all_ways_end_in_the_same_layout(here, kaggle, capsys):
    expected = {name.removeprefix("flowers/"): content for name, content in TREE.items()}
    zipfile.ZipFile(here / "set.zip").extractall(here / "there")
    assert run() == run("--archive", "set.zip", "--dest", "b") == run("--folder", "there", "--dest", "c") == 0
    assert tree(here / "data/flowers") == tree(here / "b/flowers") == tree(here / "c/flowers") == expected
    assert [p.name for p in (here / "data").iterdir()] == ["flowers"], "nothing else is left"
    assert (here / "set.zip").exists()
    printed = capsys.readouterr().out
    assert "      3 rose\n" in printed
    assert "      6 pictures in total\n" in printed
    assert "python -m scratch_ae.train rose --data c/flowers" in printed


def test_what_is_no_picture_is_named_and_left_to_be_skipped(here, capsys):
    entries = {**TREE, "flowers/rose/notes.txt": b"petals", "flowers/rose/cut.jpg": picture(1)[:300]}
    entries |= {"README.md": b"a set", "__MACOSX/flowers/rose/._0.jpg": b"x", "flowers/iris/.DS_Store": b"x"}
    entries |= {"flowers/.thumbnails/0.jpg": picture(1)}
    run("--archive", zipped(here / "a.zip", entries))
    expected = {*TREE, "flowers/rose/notes.txt", "flowers/rose/cut.jpg"}
    assert set(tree(here / "data")) == expected
    printed = capsys.readouterr().out
    assert "3 rose" in printed
    assert "rose/notes.txt is no picture: not an image" in printed
    assert "rose/cut.jpg is no picture: " in printed
    assert "2 files are no pictures; training will skip them." in printed
    (here / "plain").mkdir(mode=0o755)
    assert (here / "data/flowers").stat().st_mode == (here / "plain").stat().st_mode, "others may read it, too"


def test_of_many_files_that_are_no_pictures_ten_are_named(here, capsys):
    run("--archive", zipped(here / "a.zip", {**TREE, **{f"flowers/rose/{k}.txt": b"x" for k in range(12)}}))
    printed = capsys.readouterr().out
    assert printed.count("is no picture: ") == 10
    assert "12 files are no pictures" in printed


def test_folders_of_the_same_species_are_put_together(here):
    run("--archive", zipped(here / "a.zip", {"train/rose/1.jpg": b"a" + picture(1), "test/rose/1.jpg": picture(2)}))
    assert tree(here / "data/flowers") == {"rose/1.jpg": b"a" + picture(1), "rose/1-2.jpg": picture(2)}


def test_what_to_do_next_fits_what_came(here, capsys):
    run("--archive", zipped(here / "a.zip", {"pets/cat/1.jpg": picture(1)}))
    assert "Now: python -m scratch_ae.train flowers\n" in capsys.readouterr().out
    run("--archive", zipped(here / "b.zip", TREE), "--dest", "my data")
    assert "train rose --data 'my data/flowers'\n" in capsys.readouterr().out, "as a shell wants it"


# ---- what must not be unpacked --------------------------------------------------------------------------------------


def link(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"../../rose/a.jpg": b"x"}, "leads out of the folder"),
        ({"rose/../../../a.jpg": b"x"}, "leads out of the folder"),
        ({"/etc/rose/a.jpg": b"x"}, "leads out of the folder"),
        ({"..\\..\\rose\\a.jpg": b"x"}, "leads out of the folder"),
        ({"C:\\rose\\a.jpg": b"x"}, "leads out of the folder"),
        ({link("flowers/rose/a.jpg"): b"/etc/passwd"}, "a link"),
        ({link("flowers"): b"/tmp"}, "a link"),
        ({"a.jpg": picture(1)}, "no files in folders"),
        ({}, "no files in folders"),
        ({"rose/a.jpg": b"no picture", "rose/b.jpg": b""}, "none of the 2 files is a picture"),
    ],
)
def test_hostile_and_empty_archives_are_refused_and_leave_nothing(here, entries, message):
    if "link" in message or "leads" in message:  # among what is good
        entries = {**entries, **TREE}
    with pytest.raises(UserError, match=message):
        run("--archive", zipped(here / "a.zip", entries))
    assert set(tree(here)) == {"a.zip"}


def test_more_than_a_set_of_pictures_can_weigh_is_refused(here, monkeypatch):
    zipped(here / "a.zip", {f"rose/{k}.jpg": b"\0" * 10_000_000 for k in range(3)})
    assert (here / "a.zip").stat().st_size < 100_000
    monkeypatch.setattr(download, "BYTES", 20_000_000)
    with pytest.raises(UserError, match=r"holds 3 files of 0\.0 GB in all, too much"):
        run("--archive", "a.zip")
    monkeypatch.setattr(download, "BYTES", 40_000_000)
    monkeypatch.setattr(download, "FILES", 2)
    with pytest.raises(UserError, match="too much"):
        run("--archive", "a.zip")
    monkeypatch.setattr(download, "FILES", 3)
    usage = shutil.disk_usage(here)._replace(free=29_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UserError, match="needs 30 MB, and the disk with data has less"):
        run("--archive", "a.zip")
    assert set(tree(here)) == {"a.zip"}


def damaged(content: bytes, how: str) -> bytes:
    if how == "cut":
        return content[: len(content) // 2]
    if how == "changed":
        middle = content.index(b"JFIF") if b"JFIF" in content else len(content) // 3
        return content[:middle] + bytes(255 - b for b in content[middle : middle + 40]) + content[middle + 40 :]
    if how == "method":  # a way of compressing that does not exist
        return content.replace(b"PK\1\2\x14\3\x14\0\0\0\x08\0", b"PK\1\2\x14\3\x14\0\0\0\x63\0")
    if how == "encrypted":
        return content.replace(b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0")
    return {"empty": b"", "text": b"<html>not found</html>"}[how]


def test_an_encrypted_archive_is_not_called_damaged(here):
    content = damaged(zipped(here / "a.zip", TREE).read_bytes(), "encrypted")
    (here / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.zip is encrypted; unpack it yourself"):
        run("--archive", "a.zip")


@pytest.mark.parametrize("how", ["cut", "changed", "method", "empty", "text"])
def test_damaged_archives_are_refused_and_leave_nothing(here, how):
    content = zipped(here / "a.zip", TREE).read_bytes()
    (here / "a.zip").write_bytes(damaged(content, how))
    assert (here / "a.zip").read_bytes() != content
    with pytest.raises(UserError, match=r"a\.zip is not a zip file, or is damaged .*Get it again"):
        run("--archive", "a.zip")
    assert set(tree(here)) == {"a.zip"}


def test_links_in_a_folder_are_not_followed_and_told(here, capsys):
    (here / "there/rose").mkdir(parents=True)
    (here / "there/rose/a.jpg").write_bytes(picture(1))
    (here / "secret").mkdir()
    (here / "secret/b.jpg").write_bytes(picture(2))
    (here / "there/rose/link.jpg").symlink_to(here / "secret/b.jpg")
    (here / "there/iris").symlink_to(here / "secret")
    run("--folder", "there")
    assert set(tree(here / "data/flowers")) == {"rose/a.jpg"}
    assert "2 links and other non-files were left out of there." in capsys.readouterr().out


# ---- what goes wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("Max retries exceeded (Failed to resolve 'api.kaggle.com')", "cannot be reached: are you online"),
        ("ConnectionResetError: Connection reset by peer", "was lost. What has arrived is kept"),
        ("HTTPSConnectionPool: Read timed out.", "connection to Kaggle was lost"),
        ("401 Client Error: Unauthorized for url: https://", "wants a login .* run `kaggle auth login`"),
        ("Authentication required to call the Kaggle API.\n\nFirst, you will need", "wants a login"),
        ("403 Client Error: Forbidden for url: https://", "denies access to l3llff/flowers: it is private"),
        ("404 Client Error: Not Found for url: https://", "there is no l3llff/flowers on Kaggle: .* removed"),
        ("429 Client Error: Too Many Requests", "wait an hour"),
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("Traceback\n  File\nSomething: else\n", r"It said: Something: else\."),
    ],
)
def test_every_failure_says_what_happened_and_what_to_do(here, kaggle, said, message):
    kaggle.setenv("KAGGLE_SAYS", said)
    with pytest.raises(UserError, match=message) as error:
        run()
    assert "pass the file with --archive. Without photographs, training renders its own flowers." in str(error.value)
    assert not any((here / "data").iterdir())


def test_what_has_come_is_kept_when_the_connection_breaks_off(here, kaggle):
    half = here / "data/.l3llff.flowers.download/flowers.zip"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"PK, and no more")
    kaggle.setenv("KAGGLE_SAYS", "ConnectionError: Connection broken")
    with pytest.raises(UserError, match="What has arrived is kept: run the command again"):
        run()
    assert half.exists()


def test_without_kaggle_it_says_how_to_get_it(here, monkeypatch):
    monkeypatch.setattr(download.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install '\.\[kaggle\]'.*browser.*--archive"):
        run()


@pytest.mark.parametrize("dataset", ["flowers", "a/b/c", "/flowers", "l3llff/"])
def test_a_dataset_has_an_owner_and_a_name(here, dataset):
    with pytest.raises(UserError, match="OWNER/NAME, such as l3llff/flowers"):
        run("--dataset", dataset)


@pytest.mark.parametrize("way", ["--archive", "--folder"])
def test_what_is_not_there(here, way):
    with pytest.raises(UserError, match="nowhere"):
        run(way, "nowhere")


def test_what_is_there_already_is_not_touched(here):
    (here / "data/flowers/rose").mkdir(parents=True)
    (here / "data/flowers/rose/mine.jpg").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"data/flowers is already there\. Remove it, or name another"):
        run("--archive", zipped(here / "a.zip", TREE))
    assert tree(here / "data") == {"flowers/rose/mine.jpg": b"mine"}


def test_a_link_to_nowhere_is_there_too(here):
    (here / "data").mkdir()
    (here / "data/flowers").symlink_to("nowhere")
    with pytest.raises(UserError, match="data/flowers is already there"):
        run("--archive", zipped(here / "a.zip", TREE))


def test_a_folder_that_may_not_be_written_to(here, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        with pytest.raises(UserError, match=r"data cannot be written to \(Permission denied\)\. Name another folder"):
            run("--archive", zipped(here / "a.zip", TREE))


def test_a_disk_that_fills_up(here, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    zipped(here / "a.zip", TREE)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", full)
        with pytest.raises(UserError, match=r"the disk with data is full\. Make room"):
            run("--archive", "a.zip")
    assert set(tree(here)) == {"a.zip"}
    assert run("--archive", "a.zip") == 0


def test_interrupted_in_unpacking_it_starts_over(here, monkeypatch):
    zipped(here / "a.zip", TREE)
    with monkeypatch.context() as patch:
        patch.setattr(download, "report", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run("--archive", "a.zip")
    assert set(tree(here)) == {"a.zip"}
    for name, age in (("old", 2 * download.STALE), ("young", 10)):  # as SIGKILL leaves them
        (here / f"data/.flowers.{name}.part/rose").mkdir(parents=True)
        (here / f"data/.flowers.{name}.part/rose/half.jpg").write_bytes(b"half")
        os.utime(here / f"data/.flowers.{name}.part", times=(time.time() - age,) * 2)
    assert run("--archive", "a.zip") == 0
    assert sorted(p.name for p in (here / "data").iterdir()) == [".flowers.young.part", "flowers"]


def test_two_at_once_do_not_disturb_each_other(here, monkeypatch):
    zipped(here / "a.zip", TREE)
    right = download.report

    def report(folder):
        monkeypatch.setattr(download, "report", right)
        assert run("--archive", "a.zip") == 0  # the other one, from its first to its last step
        right(folder)

    monkeypatch.setattr(download, "report", report)
    with pytest.raises(UserError, match="was created by something else meanwhile"):
        run("--archive", "a.zip")
    assert [p.name for p in (here / "data").iterdir()] == ["flowers"]
    assert len(tree(here / "data/flowers")) == 6


def test_a_damaged_download_is_removed_so_that_the_next_one_is_whole(here, kaggle):
    good = (here / "set.zip").read_bytes()
    (here / "set.zip").write_bytes(damaged(good, "changed"))
    with pytest.raises(UserError, match="It has been removed: run the command again"):
        run()
    (here / "set.zip").write_bytes(good)
    assert run() == 0


@pytest.mark.parametrize("problem", [errno.EDQUOT, errno.EIO])
def test_a_whole_download_is_not_removed_for_the_disk_s_fault(here, kaggle, monkeypatch, problem):
    def failing(*_):
        raise OSError(problem, os.strerror(problem))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", failing)
        with pytest.raises((UserError, OSError), match=r"is full|Input/output error"):
            run()
    assert list(here.glob("data/.*/flowers.zip"))
    assert run() == 0


def test_another_run_may_be_faster_in_clearing_up(here, monkeypatch):
    zipped(here / "a.zip", TREE)
    monkeypatch.setattr(Path, "glob", lambda folder, _: [folder / ".flowers.gone.part"])
    assert run("--archive", "a.zip") == 0


def test_many_files_of_one_name_and_folders_as_windows_writes_them(here):
    entries = {f"{k}/rose/1.jpg": picture(k) for k in range(12)}
    entries |= {"flowers\\iris\\": b"", "flowers\\iris\\a:b.jpg": picture(0)}
    run("--archive", zipped(here / "a.zip", entries))
    expected = {"iris/a:b.jpg", "rose/1.jpg", *(f"rose/1-{k}.jpg" for k in range(2, 13))}
    assert set(tree(here / "data/flowers")) == expected


@pytest.mark.parametrize(
    ("kill", "number", "code"),
    [(os.killpg, signal.SIGINT, 130), (os.kill, signal.SIGTERM, 143)],  # as Ctrl-C does, and as `kill`: it alone
)
def test_interrupted_in_downloading_it_goes_on(here, kaggle, kill, number, code):
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "PNG")
    zipped(here / "set.zip", {**TREE, "flowers/rose/large.png": stream.getvalue()})
    path = f"{here / 'packages'}:{Path(__file__).parents[1]}"
    environment = {**os.environ, "KAGGLE_TAKES": "600", "PYTHONPATH": path}
    call = [sys.executable, "-m", "scratch_ae.download"]
    process = subprocess.Popen(
        call, env=environment, stdout=-1, stderr=-2, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a shell's background jobs ignore
    )  # fmt: skip
    begun = time.monotonic()
    while not list(here.glob("data/.l3llff.flowers.download/flowers.zip")):
        assert time.monotonic() - begun < 60
        time.sleep(0.05)
    kill(process.pid, number)
    output = process.communicate(timeout=30)[0]
    assert process.returncode == code, output
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # kaggle has ended, too
    assert "the same command continues from there" in output
    assert "Traceback" not in output
    assert (here / "data/.l3llff.flowers.download/flowers.zip").exists()
    assert run() == 0
    assert len(tree(here / "data")) == 7
