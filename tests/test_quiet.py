"""What goes to the file descriptor of stderr is silenced, and comes back."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from rsseg_tf.quiet import quiet_stderr


def run(code: str) -> subprocess.CompletedProcess[str]:
    header = "import os, sys\nfrom rsseg_tf.quiet import quiet_stderr\n"
    return subprocess.run([sys.executable, "-c", header + code], capture_output=True, text=True, check=False)


def test_python_and_native_code_are_silent_meanwhile_and_heard_again():
    done = run("""
sys.stderr.write("before ")
with quiet_stderr():
    os.write(2, b"native ")
    sys.stderr.write("python ")
sys.stderr.write("after")
""")

    assert done.stderr == "before after"


def test_an_error_passes_through_and_stderr_comes_back(capfd):
    with pytest.raises(ValueError, match="inside"), quiet_stderr():
        raise ValueError("inside")
    os.write(2, b"after")

    assert capfd.readouterr().err == "after"


def test_no_file_descriptor_is_left_open():
    before = os.dup(2)
    os.close(before)
    for _ in range(3):
        with quiet_stderr():
            pass
    after = os.dup(2)
    os.close(after)

    assert after == before


def test_a_process_without_stderr_goes_on():
    done = run("""
os.close(2)
with quiet_stderr():
    sys.stdout.write("fine")
""")

    assert (done.returncode, done.stdout) == (0, "fine")
