"""Photographs into data/flowers, a folder per species: python -m scratch_ae.download"""

import contextlib
import errno
import importlib.util
import lzma
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from tqdm import tqdm

from . import Parser, UserError, command
from .data import UnusableImage, image_files, load_image, species_folders
from .parallel import processors
from .run import Progress, say

DATASET = "l3llff/flowers"
STALE = 3600  # seconds after which a half-unpacked folder is nobody's any more
FILES, BYTES = 200_000, 8 << 30  # the most that is unpacked: an archive may claim a thousand times what it weighs

File = tuple[PurePosixPath, int, Callable[[], BinaryIO]]  # path, size in bytes, and what opens it


def parser() -> Parser:
    p = Parser(prog="python -m scratch_ae.download", description="Get photographs to learn from.")
    source = p.add_mutually_exclusive_group()
    source.add_argument("--dataset", default=DATASET, metavar="OWNER/NAME", help=f"a set on Kaggle ({DATASET})")
    source.add_argument("--archive", type=Path, metavar="FILE", help="a zip file that is already here")
    source.add_argument("--folder", type=Path, metavar="DIR", help="a tree of folders that is already here")
    p.add_argument("--dest", type=Path, default=Path("data"), metavar="DIR", help="where flowers/ is made (data)")
    return p


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    flowers, archive = options.dest / "flowers", options.archive
    if os.path.lexists(flowers):
        raise UserError(f"{flowers} is already there. Remove it, or name another folder with --dest.")
    try:
        options.dest.mkdir(parents=True, exist_ok=True)
        if not os.access(options.dest, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as problem:
        why = problem.strerror
        raise UserError(f"{options.dest} cannot be written to ({why}). Name another folder with --dest.") from None
    for old in options.dest.glob(".flowers.*.part"):
        with contextlib.suppress(FileNotFoundError):  # another run has just moved it into place
            if time.time() - old.stat().st_mtime > STALE:  # left by a killed run
                shutil.rmtree(old, ignore_errors=True)
    if not (archive or options.folder):
        archive = fetch(options.dataset, options.dest)
    part = options.dest / Path(tempfile.mkdtemp(".part", ".flowers.", options.dest)).name  # as the user wrote it
    try:
        if options.folder:
            unpack(list(in_folder(options.folder)), part, str(options.folder))
        else:
            unpack_archive(archive, part, again=not options.archive)
        report(part)
        part.chmod(0o755)  # or only we could read it
        part.rename(flowers)
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(f"the disk with {options.dest} is full. Make room, then run the command again.") from None
        if problem.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise UserError(f"{flowers} was created by something else meanwhile, and was left as it is.") from None
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    if archive and not options.archive:
        shutil.rmtree(archive.parent)
    name = "rose" if (flowers / "rose").is_dir() else "flowers"
    elsewhere = "" if options.dest == Path("data") else f" --data {shlex.quote(str(flowers))}"
    say(f"They are in {flowers}. Now: python -m scratch_ae.train {name}{elsewhere}")
    return 0


# ---- from Kaggle ----------------------------------------------------------------------------------------------------


def fetch(dataset: str, dest: Path) -> Path:
    """The set's zip file, downloaded by the package kaggle in a process of its own; a partial download is resumed.

    Only the command may download without an account; importing the package asks for a token. UserError: why not.
    """
    owner, _, name = dataset.partition("/")
    if not owner or not name or "/" in name:
        raise UserError(f"--dataset must be OWNER/NAME, such as {DATASET}, not {dataset}")
    otherwise = (
        f"Or download https://www.kaggle.com/datasets/{dataset} in a browser and pass the file with --archive. Without "
        "photographs, training renders its own flowers."
    )
    if not importlib.util.find_spec("kaggle"):
        raise UserError(f"the package kaggle is not installed: pip install '.[kaggle]'. {otherwise}")
    folder = dest / f".{owner}.{name}.download"
    folder.mkdir(exist_ok=True)
    call = [sys.executable, "-m", "kaggle", "datasets", "download", dataset, "--path", str(folder), "--quiet"]
    say(f"Downloading {dataset} from Kaggle.")
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        with subprocess.Popen(call, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT) as process:
            try:
                watch(process, folder)
            except (KeyboardInterrupt, SystemExit):
                say("What has arrived is kept: the same command continues from there.")
                raise
            finally:
                process.terminate()  # or it would go on without us
                signal.signal(signal.SIGTERM, before)
        output.seek(0)
        said = output.read()
    found = list(folder.glob("*.zip"))
    if process.returncode or len(found) != 1:
        if not found:
            shutil.rmtree(folder)
        raise UserError(f"{reason(said, dataset)} {otherwise}")
    return found[0]


def watch(process: subprocess.Popen, folder: Path) -> None:
    """Show how much has come until the process ends. Only kaggle knows how much there will be."""
    with tqdm(unit="B", unit_scale=True, delay=1, mininterval=1 if sys.stderr.isatty() else 30) as bar:
        while process.poll() is None:
            time.sleep(0.1)
            bar.update(sum(file.stat().st_size for file in folder.glob("*")) - bar.n)


def reason(said: str, dataset: str) -> str:
    """What went wrong and what to do, from what kaggle said."""
    login = f"Kaggle wants a login for {dataset}, or no longer accepts your token: run `kaggle auth login`."
    broken = "the connection to Kaggle was lost. What has arrived is kept: run the command again."
    known = (
        ("Authentication required", login),
        ("401 Client", login),
        ("403 Client", f"Kaggle denies access to {dataset}: it is private, or its terms must be accepted first."),
        ("404 Client", f"there is no {dataset} on Kaggle: the name is wrong, or the set was removed."),
        ("429 Client", "Kaggle has had too many requests from here: wait an hour."),
        ("No space left", "the disk is full. Make room there; what has arrived is kept."),
        ("resolve", "Kaggle cannot be reached: are you online?"),
        ("onnection", broken),
        ("imed out", broken),
    )
    for sign, text in known:
        if sign in said:
            return text
    last = said.strip().splitlines()[-1:] or ["nothing"]
    return f"kaggle did not fetch {dataset}. It said: {last[0][:300]}."


# ---- into folders ---------------------------------------------------------------------------------------------------


def unpack_archive(archive: Path, to: Path, again: bool) -> None:
    """`unpack` a zip file. UserError when it is not one, is damaged, or holds what no set of pictures does.

    `again`: it can be downloaded again, and is removed if it is damaged.
    """
    if not archive.is_file():
        raise UserError(f"there is no file {archive}; give --archive a zip file")
    try:
        with zipfile.ZipFile(archive) as opened:
            if any(member.flag_bits & 1 for member in opened.infolist()):
                raise UserError(f"{archive} is encrypted; unpack it yourself, and give the folder to --folder")
            unpack(list(in_archive(opened, archive)), to, str(archive))
    except UserError:
        raise
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError, OSError) as problem:
        if isinstance(problem, OSError) and problem.errno not in (None, errno.EINVAL):
            raise  # the disk's fault: damage has no errno, or EINVAL from seeking to nowhere
        if again:
            archive.unlink()
        advice = "It has been removed: run the command again." if again else "Get it again."
        raise UserError(f"{archive} is not a zip file, or is damaged ({problem}). {advice}") from None


def in_archive(opened: zipfile.ZipFile, archive: Path) -> Iterator[File]:
    """The files in a zip file. UserError when one is a link or leads out of the folder."""
    for member in opened.infolist():
        name, mode = member.filename.replace("\\", "/"), member.external_attr >> 16
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or name[1:2] == ":":
            raise UserError(f"{archive} holds {member.filename!r}, which leads out of the folder; nothing was unpacked")
        if stat.S_ISLNK(mode):
            raise UserError(f"{archive} holds {member.filename!r}, a link; nothing was unpacked")
        if not name.endswith("/"):
            yield path, member.file_size, partial(opened.open, member)  # type: ignore[misc]


def in_folder(folder: Path) -> Iterator[File]:
    """The files in a tree; links are not followed. UserError when it cannot be read."""

    def unreadable(problem: OSError) -> None:
        raise UserError(f"{problem.filename} cannot be read ({problem.strerror}); give --folder a tree of pictures")

    left = 0
    for place, folders, names in os.walk(folder, onerror=unreadable):
        left += sum(os.path.islink(Path(place) / name) for name in folders)
        for file in (Path(place) / name for name in sorted(names)):
            if not stat.S_ISREG(file.lstat().st_mode):
                left += 1
            else:
                path = PurePosixPath(file.relative_to(folder).as_posix())
                yield path, file.stat().st_size, partial(open, file, "rb")  # type: ignore[misc]
    if left:
        say(f"{left} links and other non-files were left out of {folder}.")


def unpack(files: list[File], to: Path, source: str) -> None:
    """Write each file to to/<last folder of its path>/<its name>; files outside a folder and hidden ones are left out.

    UserError when there are none, or more than the limits or the disk allow.
    """
    chosen = [file for file in files if len(file[0].parts) > 1 and not any(p[0] == "." for p in file[0].parts)]
    size = sum(size for _, size, _ in chosen)
    if not chosen:
        raise UserError(f"{source} has no files in folders; it should hold one folder of pictures per species")
    if len(chosen) > FILES or size > BYTES:
        raise UserError(f"{source} holds {len(chosen):,} files of {size / 1e9:.1f} GB in all, too much for pictures")
    if size > shutil.disk_usage(to).free:
        raise UserError(f"{source} needs {size / 1e6:.0f} MB, and the disk with {to.parent} has less. Make room there.")
    times = Counter[tuple[str, ...]]()  # repeats of a name per folder, as in train/rose/1.jpg and test/rose/1.jpg
    with Progress() as bar:
        for k, (path, _, opener) in enumerate(chosen, 1):
            folder, name = to / path.parts[-2], path.name
            folder.mkdir(exist_ok=True)
            while (folder / name).exists():
                times[path.parts[-2:]] += 1
                name = f"{path.stem}-{times[path.parts[-2:]] + 1}{path.suffix}"
            with opener() as stream, open(folder / name, "wb") as out:
                shutil.copyfileobj(stream, out)
            bar.update(k / len(chosen), f"{k} of {len(chosen)} files")


def report(folder: Path) -> None:
    """Say how many pictures each species has, and which files are not pictures. UserError when none is."""
    counts, bad, files = Counter[str](), list[str](), image_files(species_folders(folder, []))

    def look(file: Path) -> str | None:
        try:
            load_image(file, 32)
        except UnusableImage as problem:
            return f"{file.relative_to(folder)} is no picture: {problem}"
        return None

    with Progress() as bar, ThreadPoolExecutor(processors()) as pool:
        for k, (file, problem) in enumerate(zip(files, pool.map(look, files), strict=True), 1):
            counts[file.parent.name] += problem is None
            bad += [problem] if problem else []
            bar.update(k / len(files), f"{k} of {len(files)} looked at")
    if not counts.total():
        raise UserError(f"none of the {len(files)} files is a picture (as {bad[0]})")
    for name, count in sorted(counts.items()):
        shown = name if name.isprintable() else repr(name)
        say(f"{count:7,} {shown}")
    say(f"{counts.total():7,} pictures in total")
    for line in bad[:10]:
        say(line)
    if bad:
        say(f"{len(bad)} files are no pictures; training will skip them.")


if __name__ == "__main__":
    command(main)
