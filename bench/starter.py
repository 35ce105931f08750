"""How good the starter model is: what it draws of what is asked, sharpness, seconds, LoRAs; the same as `starter evaluate` says.

`python launch.py bench starter` measures the model that ships; --model FOLDER another, --no-loras leaves out what takes minutes.
"""

from __future__ import annotations

import sys

from bench.model import STARTER
from starter.__main__ import main

if __name__ == "__main__":
    named = [] if any(word.startswith("--model") for word in sys.argv[1:]) else ["--model", str(STARTER)]
    sys.exit(main(["evaluate", *named, *sys.argv[1:]]))
