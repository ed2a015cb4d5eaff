import sys
from pathlib import Path

# The translated template.
sys.path.insert(0, str(Path(__file__).parents[1] / "template"))
