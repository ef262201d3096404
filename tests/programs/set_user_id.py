#!/usr/bin/env python3
"""Programs that run with more rights than their caller write no file that the caller names: set_user_id.py MALLOC_PROGRAM make_test.

A caller could have had any file overwritten by naming it as LULL_PROFILE or LULL_TIMELINE, and longer as LULL_OBJECT_PROFILE: the library wrote
with the program's rights. Exit 77: only root can make such programs, and not on every file system.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

NOBODY = 65534


def writes(program, variable, folder):
    """Whether the program, run by nobody, writes the file that the variable names."""
    file = folder / "written"
    done = subprocess.run([program, "--gtest_filter=Make.ForwardsItsArguments"], env={variable: str(file)}, cwd=folder, user=NOBODY, group=NOBODY,
                          capture_output=True, timeout=60)
    assert done.returncode == 0, done
    if not file.exists():
        return False
    file.unlink()
    return True


def main():
    if os.geteuid() != 0:
        return 77
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        folder.chmod(0o777)
        if os.statvfs(folder).f_flag & os.ST_NOSUID:
            return 77
        for variable, original in zip(("LULL_PROFILE", "LULL_TIMELINE", "LULL_OBJECT_PROFILE"), (*sys.argv[1:3], sys.argv[2])):
            program = folder / "program"
            shutil.copy(original, program)
            program.chmod(0o755)
            assert writes(program, variable, folder), f"{variable}: an ordinary program writes nothing either"
            program.chmod(0o4755)
            assert not writes(program, variable, folder), f"{variable}: written with the program's rights"
    return 0


sys.exit(main())
