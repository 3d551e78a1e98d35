"""The package imports no client library before one is asked for."""

import subprocess
import sys

MODULES = ("acknowledged", "admin", "bounded", "clients", "diagnosis", "records", "wire")


def test_no_client_is_loaded_with_the_package() -> None:
    program = (
        f"import sys\nfor name in {MODULES}: __import__(f'recsys.kafka.{{name}}')\n"
        "print({'kafka', 'aiokafka', 'faust'} & {name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
