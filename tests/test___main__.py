import subprocess
import sys


def test_python_m_bostruct():
    command = [sys.executable, "-m", "bostruct", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Usage: bostruct" in done.stdout
    assert done.stderr == ""
