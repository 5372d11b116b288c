"""Breaks the code in 300 places, one at a time, and counts what the tests notice: python -m tests.mutants

    python -m tests.mutants [COUNT [SEED]]      a sample of so many, drawn by the seed (300, 0)
    python -m tests.mutants all MODULE          every one of a module

A mutant is one of six modules with one operator, comparison, constant, condition or statement changed. It is noticed
when its module's own tests fail, or take ten times as long as usual. The kernels run as plain Python; what is compiled
from LLVM's language runs compiled, against the test of the tile. Ready-made tools leave out functions with a decorator,
which all kernels have.
"""

import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

MODULES = "kernels", "layers", "losses", "optim", "shapes", "checkpoint"
TESTED_AS = {"squared_error_and_variation": "losses", "adam": "optim"}  # kernels in the tests of those who call them
COMPILED = {"compiled_tile", "registers", "integer", "unrolled"}  # functions that plain Python does not reach
OTHER = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Pow: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.MatMult: ast.Mult, ast.BitXor: ast.BitAnd, ast.BitOr: ast.BitAnd, ast.RShift: ast.LShift,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in place of a node."""
    if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in OTHER:
        yield changed(node, op=OTHER[type(node.op)]())
    if isinstance(node, ast.Compare) and type(node.ops[0]) in OTHER:
        yield changed(node, ops=[OTHER[type(node.ops[0])](), *node.ops[1:]])
    if isinstance(node, ast.UnaryOp):
        yield node.operand
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield ast.Constant(node.value + 1 if isinstance(node.value, int) else 2 * node.value + 1)
    if isinstance(node, ast.IfExp | ast.If | ast.While):
        yield changed(node, test=ast.UnaryOp(ast.Not(), node.test))
    if isinstance(node, ast.AugAssign | ast.Raise) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        yield ast.Pass()


def changed(node: ast.AST, **fields: object) -> ast.AST:
    node = copy.copy(node)
    for name, value in fields.items():
        setattr(node, name, value)
    return node


def sites(tree: ast.AST, function: str = "") -> Iterator[tuple[ast.AST, str, object, ast.AST, str]]:
    """Every (parent, field, index or None, what to put there, name of the outermost function), but in annotations."""
    for field, value in ast.iter_fields(tree):
        if field in ("annotation", "returns", "decorator_list"):
            continue
        if isinstance(tree, ast.UnaryOp) and isinstance(tree.operand, ast.Constant):
            continue  # to NumPy -2 is an unknown length as -1 is
        for index, child in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(child, ast.AST):
                for new in changes(child):
                    yield tree, field, index if isinstance(value, list) else None, new, function
                inner = function or (child.name if isinstance(child, ast.FunctionDef | ast.ClassDef) else "")
                yield from sites(child, inner)


def mutant(source: str, number: int) -> tuple[str, str, str]:
    """The source with change `number`, what it is in words, and the function that it is in."""
    tree = ast.parse(source)
    parent, field, index, new, function = list(sites(tree))[number]
    old = getattr(parent, field) if index is None else getattr(parent, field)[index]
    words = f"line {old.lineno}: {short(old)}  ->  {short(new)}"
    if index is None:
        setattr(parent, field, new)
    else:
        getattr(parent, field)[index] = new
    return ast.unparse(ast.fix_missing_locations(tree)), words, function


def short(node: ast.AST) -> str:
    return ast.unparse(ast.fix_missing_locations(copy.copy(node))).split("\n")[0][:70]


def passes(place: Path, module: str, function: str, patience: float) -> bool:
    """Whether the module's tests pass in a copy of the project."""
    tests = f"tests/test_{TESTED_AS.get(function, module)}.py"
    call = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", tests]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    if function in COMPILED:
        call += ["-k", "test_the_tile"]
        environment |= {"NUMBA_DISABLE_JIT": "0", "NUMBA_CACHE_DIR": str(place / "compiled")}
        shutil.rmtree(place / "compiled", ignore_errors=True)
    try:
        return not subprocess.run(call, cwd=place, env=environment, timeout=patience, capture_output=True).returncode
    except subprocess.TimeoutExpired:
        return False


def main(arguments: list[str]) -> int:
    sources = {module: Path(f"scratch_ae/{module}.py").read_text() for module in MODULES}
    every = [(module, k) for module in MODULES for k in range(len(list(sites(ast.parse(sources[module])))))]
    if arguments[:1] == ["all"]:
        chosen = [(module, k) for module, k in every if module in arguments[1:]]
        if not chosen:
            sys.exit(f"all of which module? {', '.join(MODULES)}")
    else:
        count, seed = (*map(int, arguments), *(300, 0)[len(arguments) :])
        chosen = random.Random(seed).sample(every, count)
    begin, survivors, places = time.monotonic(), [], Queue[Path]()
    with tempfile.TemporaryDirectory() as folder:
        for worker in range(os.cpu_count() or 1):
            for package in ("scratch_ae", "tests"):
                shutil.copytree(package, Path(folder) / str(worker) / package)
            shutil.copy("setup.cfg", Path(folder) / str(worker))
            places.put(Path(folder) / str(worker))
        patience = {}
        for module, function in (*((m, "") for m in MODULES), ("kernels", "unrolled")):
            start = time.monotonic()
            assert passes(places.queue[0], module, function, 600), f"{module}'s tests fail as they are"
            patience[module, function in COMPILED] = 10 * (time.monotonic() - start) + 10

        def caught(job: tuple[str, int]) -> str:
            module, number = job
            text, words, function = mutant(sources[module], number)
            place = places.get()
            file = place / f"scratch_ae/{module}.py"
            file.write_text(text)
            alive = passes(place, module, function, patience[module, function in COMPILED])
            file.write_text(sources[module])
            places.put(place)
            return f"{module}.py {function}, {words}" if alive else ""

        with ThreadPoolExecutor(places.qsize()) as pool:
            for k, survivor in enumerate(pool.map(caught, chosen), 1):
                survivors += [survivor] if survivor else []
                if survivor:
                    print(f"{k:4} not noticed: {survivor}", flush=True)
    share, minutes = 1 - len(survivors) / len(chosen), (time.monotonic() - begin) / 60
    noticed = f"{len(chosen) - len(survivors)} of {len(chosen)} noticed, {share:.1%}"
    print(f"{noticed}, drawn from {len(every)}; {minutes:.0f} minutes")
    return share < 0.95


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
