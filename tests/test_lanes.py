"""The hot loops of numerics/lanes.h: all ways to prepare and sort kicks give the same bits."""

import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("options", ["-O1", "-O3 -fno-math-errno"])
def test_kicks_are_prepared_and_sorted_alike_in_every_way(tmp_path, compiler, options):
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler}")
    program = tmp_path / "lanes"
    source = ROOT / "tests" / "verification" / "lanes.c"
    command = [compiler, "-std=gnu11", *options.split(), "-ffp-contract=off", str(source), "-o", str(program), "-lm"]
    subprocess.run(command, check=True)
    printed = subprocess.run([program], stdout=subprocess.PIPE, text=True).stdout
    assert printed.startswith("0 of 5000 differ"), printed
